"""The U-Net generator of pix2pix."""
