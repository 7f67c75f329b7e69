"""GauGAN's generator."""
