"""The command line: it reads arguments, calls the library, and says what came of it."""

from slimgen.cli.app import main

__all__ = ["main"]
