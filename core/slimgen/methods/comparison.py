"""The generator that a search must beat: the original's family, narrowed uniformly to the same cost."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from slimgen.errors import BudgetError, RecipeError
from slimgen.methods.method import Trained
from slimgen.nets import build_generator, resnet_cost, spade_cost
from slimgen.recipe import Recipe
from slimgen.tasks.gan import original_guidance, train_gan
from slimgen.tasks.job import Job

NARROWED: dict[str, tuple[Callable[..., int], tuple[str, ...]]] = {
    "resnet": (resnet_cost.narrowed_ngf, ("blocks", "inputs", "outputs")),
    "spade": (spade_cost.narrowed_ngf, ("inputs", "outputs", "norm", "doublings")),
}
"""By family: the largest `ngf` within a limit, and the options besides `ngf` on which its cost depends."""


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
    require_narrowing(recipe)
    original = {name: value for name, value in recipe.teach.generator.items() if name not in ("family", "ngf")}
    family = recipe.teach.generator["family"]
    options = {**original, "ngf": equal_ngf(macs, recipe.budget.convention, recipe.size, original, family)}
    generator = job.compute.place(build_generator(family, seed=recipe.seed, **options))
    # The schedule of fine-tuning, stretched: the same batch, rates and share of decay.
    schedule = recipe.finetune.model_copy(update={"updates": updates, "epochs": None})
    net = train_gan(
        job,
        "uniform",
        generator,
        job.task.discriminator(),
        schedule,
        updates,
        guidance=original_guidance(job),
        generator_steps=recipe.finetune.generator_steps,
        ema=recipe.finetune.ema,
    )
    return Trained(net, family, options, updates)


def require_narrowing(recipe: Recipe) -> None:
    """Raises RecipeError where the original is of no family that can be narrowed uniformly."""
    family = recipe.teach.generator["family"]
    if family not in NARROWED:
        known = " or ".join(NARROWED)
        raise RecipeError(f"finetune.uniform compares with a narrowed {known}", repr(family), "set it to false")


def equal_ngf(macs: float, convention: str, size: int, options: Mapping[str, Any], family: str = "resnet") -> int:
    """The smallest `ngf` whose generator of a family costs at least `macs` on an image of this size."""
    narrowed, names = NARROWED[family]
    shape = {name: options[name] for name in names if name in options}
    try:
        return narrowed(math.ceil(macs) - 1, convention, size, **shape) + 1
    except BudgetError:
        return 1
