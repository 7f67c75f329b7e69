"""Co-Evolutionary Compression's networks: generators with masks over their filters."""
