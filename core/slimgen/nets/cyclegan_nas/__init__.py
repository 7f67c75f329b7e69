"""CycleGANAS's networks: generators and discriminators of cells, and their supernets."""
