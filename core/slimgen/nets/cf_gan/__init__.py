"""CF-GAN's networks: the trellis and its super-discriminator."""
