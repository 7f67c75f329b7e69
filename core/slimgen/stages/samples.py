"""Pictures of validation images while a training is under way: what its generator makes of them, every so many updates.

They are for people, and change no result: they are drawn between two updates, in evaluation mode, without gradients,
and with the random numbers put back. Nothing of it fails a training.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair, whole
from slimgen.files import SUFFIX, log_picture, publish
from slimgen.report.pictures import grid, panels
from slimgen.tasks.task import Job
from slimgen.tasks.traits import NOISE
from slimgen.training.fit import Journal, Stateful
from slimgen.training.optimizers import Ema

COUNT = 4
"""Images in a picture; of noise, their number is a square."""
LEAST = 250
"""The least updates between two pictures, of which drawing one then takes less than a hundredth of the time."""


def every(given: int | None, steps: int) -> int:
    """Return the updates between two pictures of a training: a tenth of it, if the recipe names none; 0 draws none."""
    return max(LEAST, steps // 10) if given is None else given


@dataclass
class Samples:
    """Draws pictures of one training's generator.

    Attributes:
        job: returns the stage's job; it is asked for once the first picture is due.
        folder: the stage's.
        training: its name.
        given: updates between two pictures, as the recipe names it.
        warn: is told once why no pictures can be drawn.
    """

    job: Callable[[], Job]
    folder: Path
    training: str
    given: int | None
    warn: Callable[[str], None]
    _over: bool = False

    def due(self, done: int, steps: int) -> bool:
        """Return whether a picture is drawn after this many of all updates."""
        between = every(self.given, steps)
        return not self._over and between > 0 and done % between == 0

    def draw(self, done: int, state: Mapping[str, Stateful]) -> None:
        """Write the picture of a generator among the parts of a training's state; without one, do nothing."""
        average, plain = state.get("ema"), state.get("generator")
        net = average.module if isinstance(average, Ema) else plain
        if not isinstance(net, nn.Module):
            return
        try:
            with untouched(net):
                self._draw(done, net)
        except Exception as error:  # a task or network of a kind that cannot be shown, or a full disk
            self._over = True
            self.warn(f"no pictures of the training {self.training} are drawn: {error}")

    def _draw(self, done: int, net: nn.Module) -> None:
        job, pair = self._job, self._pair
        with torch.no_grad(), job.compute.autocast():
            made = job.task.generate(net, job.compute.place(pair.input)).float().cpu()
        path = self.folder / log_picture(self.training, done)
        temporary = path.with_name(f"{path.name}.{os.getpid()}{SUFFIX}")
        try:
            draw = panels if job.task.traits.given == NOISE else grid
            draw({**self._columns, f"after {done:,}": made}, temporary)
            publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @cached_property
    def _job(self) -> Job:
        return self.job()

    @cached_property
    def _pair(self) -> Pair:
        """Return the first validation images, or noise for them."""
        traits = self._job.task.traits
        asked = traits.given == NOISE or traits.single
        pair = self._job.task.validation(self._job) if asked else whole(self._job.data.split("val"), COUNT)
        return Pair(pair.input[:COUNT], pair.target[:COUNT])

    @cached_property
    def _columns(self) -> dict[str, Tensor]:
        job, pair = self._job, self._pair
        if job.task.traits.enlarges and not job.task.traits.single:
            return {"input": pair.input, "target": pair.target}
        return job.task.columns(pair, COUNT, job.data.split("val").paired)


@dataclass
class SampledJournal(Journal):
    """A journal that also draws pictures.

    Attributes:
        samples: draws them; None draws none.
    """

    samples: Samples | None = field(default=None)

    def advance(self, done: int, steps: int, losses: Mapping[str, float], state: Mapping[str, Stateful]) -> None:
        """Draw a picture where one is due, then report and save as any journal."""
        if self.samples is not None and self.log is not None and self.samples.due(done, steps):
            self.samples.draw(done, state)
        super().advance(done, steps, losses, state)


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and put its modes and all random numbers back afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)):
        net.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
