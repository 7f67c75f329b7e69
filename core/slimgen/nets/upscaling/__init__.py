"""Generators that enlarge pictures, and their discriminators."""
