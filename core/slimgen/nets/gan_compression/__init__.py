"""GAN Compression's networks: once-for-all generators."""
