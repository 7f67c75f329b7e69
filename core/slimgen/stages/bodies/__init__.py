"""What each stage does, given its work: a file each, named as the stage."""
