"""Interfaces of tasks for stages and methods, and the job that a stage hands to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Pair
from slimgen.data.conversion import Progress, Setting
from slimgen.data.look import Look, Looked
from slimgen.data.pictures import Images, PicturePair
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
        inputs: folders of earlier stages, by stage name.
        out: the folder of this stage.
        journal: maps the name of a training to its checkpoints, log and progress.
        tell: reports other progress: name, number done, total, and the latest values.
        say: prints a line for the user.
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
        """The recipe's limits as numbers; shares refer to the original's costs."""
        budget = self.recipe.budget
        original = self.task.original_cost().as_dict(budget.convention)
        return Budget(**budget.resolve({name: float(value) for name, value in original.items()}))

    def learning(self, losses: LossesSection) -> "Job":
        """Return the same job with other losses for its trainings."""
        recipe = self.recipe.model_copy(update={"losses": losses})
        return replace(self, recipe=recipe, task=type(self.task)(recipe, self.compute))


class Task(Protocol):
    """Purpose of a generator: how its images are prepared, its networks, its data and its losses."""

    traits: ClassVar[Traits]
    discriminator_inputs: int
    """Input channels of the discriminator."""

    def __init__(self, recipe: Recipe, compute: Compute) -> None: ...

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise RecipeError where the recipe does not fit this task in a way that its traits do not cover."""

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe with networks for the channels of its prepared pictures.

        Raises:
            RecipeError: the recipe sets other channels, or its metrics or losses do not take these.
        """

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write a data set as arrays; without `out`, only report what would be written."""

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout of a data set and the files that cannot be used."""

    def shapes(self, data: Prepared) -> Shapes:
        """Return the shapes of a generator's input and output for these images."""

    def generator(self, seed: int = 0) -> nn.Module:
        """Return the original generator, initialised from the sum of the recipe's seed and this one."""

    def discriminator(self, seed: int = 1) -> nn.Module:
        """Return the original discriminator, initialised likewise."""

    def original_cost(self) -> Cost:
        """Return the cost of the original generator for one image, in closed form."""

    def teach(self, job: Job) -> Mapping[str, float]:
        """Train or import the original; return the metrics to record."""

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Train a generator and discriminator in place, from the data only; return the generator or its average."""

    def original(self, teach: Path) -> nn.Module:
        """Return the original generator of the recipe's direction from `teach`'s folder, in evaluation mode."""

    def condition(self, inputs: Tensor) -> Tensor:
        """Return a generator's input for prepared inputs, on their device."""

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Return, for each split, a function from step to batch."""

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """Return the phases of a training, and their state for checkpoints besides networks and optimizers."""

    def validation(self, job: Job) -> Pair:
        """Return the inputs on which candidates are measured, and the images that outputs are compared with."""

    def test(self, data: Prepared) -> Pair | PicturePair:
        """Return the inputs of finished generators, and the real images that outputs are compared with."""

    @property
    def answers(self) -> bool:
        """Whether test images without partners are compared with the original's outputs."""

    def targets(self, images: Any, teach: Path, paired: bool) -> Any:
        """Return test images with the targets that outputs are compared with, given the original's folder."""

    def generate(self, net: nn.Module, inputs: Tensor) -> Tensor:
        """Return a generator's images for prepared test inputs, on their device."""

    def samples(self, test: Any, count: int) -> Tensor:
        """Return a generator's inputs for the first images of `test`, all of the recipe's size."""

    def gathered(self, images: Sequence[Tensor]) -> Tensor:
        """Return generated images, given in batches, as one (N, C, H, W): what `columns` shows of their targets."""

    def columns(self, test: Any, count: int, paired: bool) -> dict[str, Tensor]:
        """Return pictures (count, 3, H, W) to show beside outputs: inputs, and targets of the same rows."""

    def references(self, test: Any) -> Mapping[str, Images]:
        """Return images to measure beside the outputs, made without a generator, by the name of their row."""

    def protocol(self) -> str:
        """Return the facts on which measured values depend, besides those that every evaluation records."""


@runtime_checkable
class FromImages(Task, Protocol):
    """Task whose generators take images or label maps, so that the original's outputs can be targets."""

    def truth(self, teach: Path) -> Truth | None:
        """Return a function from a batch to its targets, given the original's folder; None: the batch has them."""

    def guidance(self, discriminator: nn.Module | None) -> Guidance:
        """Return the task's additional loss terms, given the original's discriminator."""


@runtime_checkable
class BothWays(FromImages, Protocol):
    """Task that trains two directions together."""

    def pool(self, seed: int = 0) -> ImagePool:
        """Return a history of a discriminator's inputs, seeded with the sum of the recipe's seed and this one."""

    def reverse(self, teach: Path) -> Gan:
        """Return the originals of the reverse direction from `teach`'s folder, in training mode."""


@runtime_checkable
class FromNoise(Task, Protocol):
    """Task whose generators take noise."""

    latent: int
    """Length of the noise."""

    def settled(self, net: nn.Module, batch: int) -> nn.Module:
        """Return a generator with BatchNorm statistics measured on its own features."""


def from_images(task: Task) -> FromImages:
    """Return the task as one whose generators take images; raise RecipeError if they do not."""
    if not isinstance(task, FromImages):
        raise RecipeError("the task's generators must take images", f"generators that take {task.traits.given}")
    return task


def both_ways(task: Task) -> BothWays:
    """Return the task as one of two directions; raise RecipeError if it has one."""
    if not isinstance(task, BothWays):
        raise RecipeError("a CycleGAN needs a task of two directions", "a task of one direction")
    return task


def from_noise(task: Task) -> FromNoise:
    """Return the task as one whose generators take noise; raise RecipeError if they do not."""
    if not isinstance(task, FromNoise):
        raise RecipeError("the task's generators must take noise", f"generators that take {task.traits.given}")
    return task


def setting_of(recipe: Recipe) -> Setting:
    """Return the recipe's setting for preparing images."""
    data = recipe.data
    load = data.load or recipe.size
    held = data.validation, recipe.seed, data.test
    return Setting(recipe.size, load, data.direction, *held, fit=data.fit, range=data.range)


def single_metrics(recipe: Recipe) -> list[str]:
    """Return the metrics of a recipe's evaluation that compare each image with its own target."""
    return [metric for metric in recipe.evaluate.metrics if isinstance(find(metric), PerImage)]


def require_suitable(job: Job) -> None:
    """Check that the prepared images fit the recipe's task and its metrics.

    Raises:
        DataError: the images are for another kind of task, or a metric of single images is asked for where test images
            have no partners.
    """
    recipe, traits, data = job.recipe, job.task.traits, job.data
    test = data.split("test")
    found = "images without inputs" if test.inputless else "pairs" if test.coupled else "two sets"
    without = traits.given == NOISE or traits.single
    wanted = "images without inputs" if without else "pairs" if traits.pairs else "two sets"
    if found != wanted:
        rule = f"the images must be prepared for the task {recipe.task}"
        raise DataError(rule, found, "prepare them with this recipe")
    single = single_metrics(recipe)
    if single and traits.given != NOISE and not data.split("test").paired and not job.task.answers:
        rule = "metrics of single images need a partner for every test image"
        hint = "set evaluate.metrics to metrics of whole sets: [fid], or [fd:NAME] with a user-defined feature network"
        raise DataError(rule, f"{', '.join(single)} for two sets", hint)
