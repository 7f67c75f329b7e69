"""The seven stages: recipe and folders in, a folder out. And `run`, which does them all."""

from slimgen.stages.comparing import evaluate
from slimgen.stages.exporting import export
from slimgen.stages.learning import finetune, prepare, supernet, teach
from slimgen.stages.running import run
from slimgen.stages.searching import search

__all__ = ["evaluate", "export", "finetune", "prepare", "run", "search", "supernet", "teach"]
