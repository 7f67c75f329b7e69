"""What every task offers to stages and methods, and the work that a stage hands to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Pair
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.recipe import Recipe, Schedule
from slimgen.search import Budget
from slimgen.tasks.guidance import GanTraining, Guidance, Truth
from slimgen.training.fit import Journal, Phase, Stateful
from slimgen.training.pool import ImagePool


@dataclass(frozen=True)
class Job:
    """One stage's work, as methods and tasks see it.

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
    task: "Task"
    data: Prepared
    inputs: Mapping[str, Path]
    out: Path
    journal: Callable[[str], Journal]
    tell: Callable[[str, int, int, Mapping[str, float]], None]

    @cached_property
    def budget(self) -> Budget:
        """The recipe's limits as numbers, shares taken of what the original costs."""
        budget = self.recipe.budget
        original = self.task.original_cost().as_dict(budget.convention)
        return Budget(**budget.resolve({name: float(value) for name, value in original.items()}))


class Task(Protocol):
    """What a generator is for: its networks, its data and its losses. See `slimgen.tasks.translation`."""

    discriminator_inputs: int
    """Channels that a discriminator takes."""

    def generator(self) -> nn.Module:
        """The original generator, initialised from the recipe's seed."""

    def discriminator(self, seed: int = 1) -> nn.Module:
        """The original discriminator, initialised from the recipe's seed and a number of its own."""

    def original_cost(self) -> Cost:
        """What the original generator costs on one image, in closed form."""

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original; what is worth noting of it."""

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a pair in place as an original, from the data alone; the generator, or its average."""

    def condition(self, inputs: Tensor) -> Tensor:
        """What a generator is shown of prepared inputs, on their device."""

    def picture(self, inputs: Tensor) -> Tensor:
        """Prepared inputs as pictures, for people."""

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Split to a function from step to batch."""

    def pool(self) -> ImagePool:
        """The history of what the discriminator was shown."""

    def truth(self, teach: Path) -> Truth | None:
        """What a compressed generator should make of a batch, where not its targets, given the original's folder."""

    def validation(self, job: Job) -> Pair:
        """The images on which candidates are measured, and what they are compared with."""

    def guidance(self, discriminator: nn.Module | None) -> Guidance:
        """The task's own further terms, given the original's discriminator."""

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """The phases of a training, and what checkpoints must hold for them besides networks and optimizers."""
