"""slimgen: search, compress, measure and export the generators of GANs."""

__version__ = "0.1.0"
