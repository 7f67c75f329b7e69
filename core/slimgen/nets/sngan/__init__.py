"""SN-GAN's generator of noise and its discriminator."""
