"""What every task offers to stages and methods, and the work that a stage hands to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Pair
from slimgen.data.conversion import Progress, Setting
from slimgen.data.look import Look, Looked
from slimgen.data.prepared import Manifest, Prepared
from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.recipe import Channels, Recipe, Schedule
from slimgen.recipe.trainings import LossesSection
from slimgen.search import Budget
from slimgen.tasks.guidance import Gan, GanTraining, Guidance, Truth
from slimgen.tasks.traits import NOISE, Shapes, Traits
from slimgen.training.fit import Journal, Phase, Stateful
from slimgen.training.pool import ImagePool


@dataclass(frozen=True)
class Job:
    """One stage's work, as methods and tasks see it.

    Attributes:
        inputs: stage name to the folder that it left.
        out: the folder of this stage.
        journal: name of a training to its checkpoints, log and progress.
        tell: progress of anything else: what, how many are done, of how many, and what was seen last.
        say: a line for whoever runs it.
    """

    recipe: Recipe
    compute: Compute
    task: "Task"
    data: Prepared
    inputs: Mapping[str, Path]
    out: Path
    journal: Callable[[str], Journal]
    tell: Callable[[str, int, int, Mapping[str, float]], None]
    say: Callable[[str], None] = lambda line: None

    @cached_property
    def budget(self) -> Budget:
        """The recipe's limits as numbers, shares taken of what the original costs."""
        budget = self.recipe.budget
        original = self.task.original_cost().as_dict(budget.convention)
        return Budget(**budget.resolve({name: float(value) for name, value in original.items()}))

    def learning(self, losses: LossesSection) -> "Job":
        """The same work, whose trainings learn of other losses."""
        recipe = self.recipe.model_copy(update={"losses": losses})
        return replace(self, recipe=recipe, task=type(self.task)(recipe, self.compute))


class Task(Protocol):
    """What a generator is for: how its images are prepared, its networks, its data and its losses."""

    traits: ClassVar[Traits]
    discriminator_inputs: int
    """Channels that a discriminator takes."""

    def __init__(self, recipe: Recipe, compute: Compute) -> None: ...

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raises RecipeError unless the recipe is one for this task, as far as its traits do not say."""

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """The recipe once its pictures are prepared, whose networks have their channels.

        Raises:
            RecipeError: the recipe says otherwise, or its pictures cannot be measured.
        """

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Writes a data set as arrays; without `out` it is only said what would become of it."""

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How a data set is laid out, and what cannot be used."""

    def shapes(self, data: Prepared) -> Shapes:
        """Of what a generator is given of these images, and of what it should make of it."""

    def generator(self, seed: int = 0) -> nn.Module:
        """The original generator, initialised from the recipe's seed and this number."""

    def discriminator(self, seed: int = 1) -> nn.Module:
        """The original discriminator, likewise."""

    def original_cost(self) -> Cost:
        """What the original generator costs on one image, in closed form."""

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original; what is worth noting of it."""

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a pair in place as an original, from the data alone; the generator, or its average."""

    def condition(self, inputs: Tensor) -> Tensor:
        """The input of a generator, of prepared inputs, on their device."""

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Split to a function from step to batch."""

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """The phases of a training, and what checkpoints must hold for them besides networks and optimizers."""

    def validation(self, job: Job) -> Pair:
        """The images on which candidates are measured, and what they are compared with."""

    def test(self, data: Prepared) -> Pair:
        """What finished generators are given, and the real images that they are compared with."""

    def columns(self, test: Pair, count: int, paired: bool) -> dict[str, Tensor]:
        """Pictures (count, 3, H, W) beside those that generators make: the inputs, and the targets of the same rows."""

    def references(self, test: Pair) -> dict[str, Tensor]:
        """Images that finished generators are measured beside, by the name of their row: made without any."""

    def protocol(self) -> str:
        """What the figures of finished generators depend on besides what every evaluation says of itself."""


@runtime_checkable
class FromImages(Task, Protocol):
    """A task whose generators are given images or label maps, so that an original can show what they become."""

    def truth(self, teach: Path) -> Truth | None:
        """What a compressed generator should make of a batch, where not its targets, given the original's folder."""

    def guidance(self, discriminator: nn.Module | None) -> Guidance:
        """The task's own further terms, given the original's discriminator."""


@runtime_checkable
class BothWays(FromImages, Protocol):
    """A task that trains two directions together."""

    def pool(self, seed: int = 0) -> ImagePool:
        """A history of what a discriminator was shown, of the recipe's seed and this number."""

    def original(self, teach: Path) -> nn.Module:
        """The original generator of the recipe's direction, from the folder that `teach` left; in evaluation mode."""

    def reverse(self, teach: Path) -> Gan:
        """The originals of the reverse direction, likewise; as they were trained."""


@runtime_checkable
class FromNoise(Task, Protocol):
    """A task whose generators are given noise."""

    latent: int
    """The length of the noise."""

    def settled(self, net: nn.Module, batch: int) -> nn.Module:
        """A generator whose BatchNorms have the means and variances that its own features have."""


def from_images(task: Task) -> FromImages:
    """The task as one whose generators are given images; raises RecipeError if it is another."""
    if not isinstance(task, FromImages):
        raise RecipeError("an original shows what images become", f"generators that are given {task.traits.given}")
    return task


def both_ways(task: Task) -> BothWays:
    """The task as one of two directions; raises RecipeError if it is another."""
    if not isinstance(task, BothWays):
        raise RecipeError("a CycleGAN is trained in both directions", "a task of one")
    return task


def from_noise(task: Task) -> FromNoise:
    """The task as one whose generators are given noise; raises RecipeError if it is another."""
    if not isinstance(task, FromNoise):
        raise RecipeError("images are to be made of noise", f"generators that are given {task.traits.given}")
    return task


def setting_of(recipe: Recipe) -> Setting:
    """How a recipe wants its images prepared."""
    data = recipe.data
    load = data.load or recipe.size
    held = data.validation, recipe.seed, data.test
    return Setting(recipe.size, load, data.direction, *held, fit=data.fit, range=data.range)


def single_metrics(recipe: Recipe) -> list[str]:
    """The metrics of a recipe's evaluation that compare single images, each with its own truth."""
    return [metric for metric in recipe.evaluate.metrics if isinstance(find(metric), PerImage)]


def require_suitable(job: Job) -> None:
    """Whether the prepared images are of the recipe's task, and its metrics can be measured on them.

    Raises:
        DataError: images for another kind of task; or metrics of single images, and test images without partners to
            compare with.
    """
    recipe, traits, data = job.recipe, job.task.traits, job.data
    test = data.split("test")
    found = "images without inputs" if test.inputless else "pairs" if test.coupled else "two sets"
    without = traits.given == NOISE or traits.single
    wanted = "images without inputs" if without else "pairs" if traits.pairs else "two sets"
    if found != wanted:
        raise DataError(f"images are prepared for the task {recipe.task}", found, "prepare them with this recipe")
    single = single_metrics(recipe)
    if single and traits.given != NOISE and not data.split("test").paired:
        rule = "metrics of single images need a partner for every test image"
        hint = "set evaluate.metrics to metrics of whole sets: [fid], or [fd:NAME] with a user-defined feature network"
        raise DataError(rule, f"{', '.join(single)} of two sets", hint)
