"""The generator that a search must beat: the original's family, narrowed uniformly to the same cost."""

from typing import Any

from torch import nn

from slimgen.errors import RecipeError
from slimgen.methods.method import Trained
from slimgen.nets import WIDTHS, build_generator, narrowed, width_option
from slimgen.recipe import Recipe, Schedule
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.task import Job
from slimgen.tasks.unpaired import Unpaired


def train_uniform(job: Job, macs: float, updates: int) -> Trained:
    """Trains a uniformly narrowed generator of the original's family with the task's losses, from scratch.

    It is the smallest one that costs at least as much as the found generator, so rounding favours the rival.

    Args:
        job: of the stage that fine-tunes.
        macs: what the found generator costs, under the budget's convention.
        updates: generator updates: as many as supernet training and fine-tuning took together.

    Raises:
        RecipeError: the original is of no family that can be narrowed.
    """
    recipe = job.recipe
    generator, options = _narrowed(job, macs)
    schedule = _stretched(job, updates)
    training = GanTraining(
        "uniform",
        generator,
        job.task.discriminator(),
        schedule,
        updates,
        guidance=original_guidance(job),
        generator_steps=recipe.finetune.generator_steps,
        ema=recipe.finetune.ema,
    )
    net = train_gan(job, training)
    return Trained(net, recipe.teach.generator["family"], options, updates)


def train_uniform_cycle(job: Job, macs: tuple[float, float], updates: int) -> dict[str, Trained]:
    """Trains uniformly narrowed generators of both directions together, as a CycleGAN, from scratch.

    Args:
        job: of the stage that fine-tunes, on two sets of images.
        macs: what the found generators cost, forth and back; as of `train_uniform`.
        updates: likewise.

    Returns:
        `uniform` and `uniform_back`.
    """
    recipe, task = job.recipe, job.task
    assert isinstance(task, Unpaired)
    gans, built = [], []
    for number, cost in enumerate(macs):
        generator, options = _narrowed(job, cost, 2 * number)
        gans.append(Gan(generator, task.discriminator(2 * number + 1)))
        built.append(options)
    forth, back = gans
    training = CycleTraining("uniform", forth, back, _stretched(job, updates), updates, ema=recipe.finetune.ema)
    nets = train_cycle(job, training)
    family = recipe.teach.generator["family"]
    names = ("uniform", "uniform_back")
    return {name: Trained(net, family, about, updates) for name, net, about in zip(names, nets, built, strict=True)}


def _narrowed(job: Job, macs: float, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
    """A generator of the original's family that costs at least so much, and its options."""
    recipe = job.recipe
    family, size = recipe.teach.generator["family"], recipe.size
    original = {name: value for name, value in recipe.teach.generator.items() if name != "family"}
    options = narrowed(family, original, size, size, lambda cost: cost.macs(recipe.budget.convention), macs)
    return job.compute.place(build_generator(family, seed=recipe.seed + seed, **options)), options


def _stretched(job: Job, updates: int) -> Schedule:
    """The schedule of fine-tuning, stretched: the same batch, rates and share of decay."""
    return job.recipe.finetune.model_copy(update={"updates": updates, "epochs": None})


def require_narrowing(recipe: Recipe) -> None:
    """Raises RecipeError where the original is of no family that can be narrowed uniformly."""
    family = recipe.teach.generator["family"]
    if width_option(family) is None:
        rule = f"finetune.uniform compares with the original's family at another {' or '.join(WIDTHS)}"
        raise RecipeError(rule, repr(family), "set it to false")
