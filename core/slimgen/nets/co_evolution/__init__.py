"""Co-Evolutionary Compression's networks: generators as masks over their filters."""
