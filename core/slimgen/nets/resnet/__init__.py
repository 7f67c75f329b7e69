"""The ResNet generator of CycleGAN, dense and mobile."""
