"""What a stage hands to a method: the recipe, the data, the folders, and where to leave traces."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.recipe import Recipe
from slimgen.tasks.task import Task
from slimgen.training.fit import Journal


@dataclass(frozen=True)
class Job:
    """One stage's work.

    Attributes:
        recipe: of the run.
        compute: device, number type and layout.
        task: what the generator is for.
        data: the prepared images.
        inputs: stage name to the folder that it left.
        out: the folder of this stage.
        journal: name of a training to its checkpoints, log and progress.
        tell: progress of anything else: what, how many are done, of how many, and what was seen last.
    """

    recipe: Recipe
    compute: Compute
    task: Task
    data: Prepared
    inputs: Mapping[str, Path]
    out: Path
    journal: Callable[[str], Journal]
    tell: Callable[[str, int, int, Mapping[str, float]], None]
