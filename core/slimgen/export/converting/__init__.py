"""Conversion to runtimes that are no part of slimgen, each in an environment of its own.

Every converter starts from the ONNX graph for phones (`slimgen.export.rewriting.phones`), whose few operators in simple
forms all of them know. Those that start from PyTorch read it back as a module (`converters.graph`), with the PyTorch of
their own environment: a program saved by slimgen's PyTorch would tie all converters to its version.
"""

from slimgen.export.converting.environments import ready
from slimgen.export.converting.running import Conversion, Converted, convert
from slimgen.export.converting.targets import TARGETS, Target, target_of

__all__ = ["TARGETS", "Conversion", "Converted", "Target", "convert", "ready", "target_of"]
