"""One stage at work: the inputs of its body, and the display of its progress."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import printable
from slimgen.files import CHECKPOINTS, log_file
from slimgen.recipe import Recipe
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.run.record import read_record
from slimgen.stages.label import Label
from slimgen.stages.samples import SampledJournal, Samples
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal

SAMPLED = ("teach", "finetune")
"""Stages whose trainings draw pictures: those of generators that are shown in the table, too."""
Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Function of the current activity, the amount done, the total, and the latest values."""
Metrics = dict[str, float]
"""Metrics of a stage by name."""


@dataclass
class Lines:
    """Progress as lines of text, for logs: one every few seconds."""

    seconds: float = 10.0
    _last: dict[str, float] = field(default_factory=dict)

    def __call__(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """Print a line if the last one is old, or this is the end."""
        now = time.monotonic()
        if now - self._last.setdefault(what, now) >= self.seconds or done == total:
            self._last[what] = now
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            say(f"{what} {done}/{total}  {shown}".rstrip())


def say(line: str) -> None:
    """Print one line on stderr; drop it if a reader is gone or a disk is full."""
    with suppress(OSError, ValueError):
        print(printable(line), file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Print one warning line on stderr."""
    say(f"warning: {line}")


@dataclass
class Work:
    """One stage at work.

    Attributes:
        inputs: folders of the earlier stages by name; `data` for the images.
        out: the folder to write to.
        label: the displayed name and licence of the run.
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
    label: Label

    @cached_property
    def job(self) -> Job:
        """Return the work in the form that methods and tasks take."""
        return Job(
            recipe=self.recipe,
            compute=self.compute,
            task=open_task(self.recipe, self.compute),
            data=Prepared.open(self.inputs["prepare"]),
            inputs=self.inputs,
            out=self.out,
            journal=self.journal,
            tell=self.progress,
            say=say,
        )

    def journal(self, name: str) -> Journal:
        """Return checkpoints, log, progress and pictures of one training of this stage."""
        samples = Samples(lambda: self.job, self.out, name, self.recipe.compute.pictures_every, warn)
        return SampledJournal(
            checkpoints=Checkpoints(self.home / CHECKPOINTS / name, self.mark, warn=warn),
            log=Log(self.out / log_file(name)),
            seconds=self.recipe.compute.checkpoint_seconds,
            progress=lambda done, total, values: self.progress(name, done, total, values),
            warn=warn if self.compute.device.type == "cpu" else None,
            samples=samples if read_record(self.home).get("stage") in SAMPLED else None,
        )
