"""Bodies of the stages: one file each, named after the stage."""
