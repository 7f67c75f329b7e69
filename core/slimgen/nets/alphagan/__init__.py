"""AlphaGAN's networks: generators and discriminators made of cells, and their supernets."""
