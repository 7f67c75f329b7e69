"""One stage at work: what its body is handed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.files import CHECKPOINTS, log_file
from slimgen.recipe import Recipe
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.stages.progress import Progress, warn
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

Metrics = dict[str, float]
"""What a stage measured, by name."""


@dataclass
class Work:
    """One stage at work.

    Attributes:
        recipe: of the run.
        inputs: stage name to the folder it left; `data` to the images.
        out: where this one writes.
        compute: device, number type and layout.
        progress: is called as the work goes on.
        mark: the stage's fingerprint.
        home: the folder that holds checkpoints and logs, shared by all processes of a run.
    """

    recipe: Recipe
    inputs: Mapping[str, Path]
    out: Path
    compute: Compute
    progress: Progress
    mark: str
    home: Path

    @cached_property
    def job(self) -> Job:
        """The work as methods and tasks see it."""
        return Job(
            recipe=self.recipe,
            compute=self.compute,
            task=open_task(self.recipe, self.compute),
            data=Prepared.open(self.inputs["prepare"]),
            inputs=self.inputs,
            out=self.out,
            journal=self.journal,
            tell=self.progress,
        )

    def journal(self, name: str) -> Journal:
        """Checkpoints, log and progress of one training of this stage."""
        return Journal(
            checkpoints=Checkpoints(self.home / CHECKPOINTS / name, self.mark, warn=warn),
            log=Log(self.out / log_file(name)),
            seconds=self.recipe.compute.checkpoint_seconds,
            progress=lambda done, total, values: self.progress(name, done, total, values),
        )


Body = Callable[[Work], Mapping[str, float]]
"""A stage's work itself; what was measured."""
