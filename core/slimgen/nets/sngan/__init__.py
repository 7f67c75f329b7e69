"""SN-GAN's generator, which takes noise, and its discriminator."""
