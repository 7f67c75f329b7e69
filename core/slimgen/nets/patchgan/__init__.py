"""PatchGAN discriminators, which score patches."""
