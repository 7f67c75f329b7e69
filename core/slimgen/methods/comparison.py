"""The generator that a search must beat: the original's family, narrowed uniformly to the same cost."""

import math
from collections.abc import Mapping
from typing import Any

from slimgen.errors import BudgetError, RecipeError
from slimgen.methods.method import Trained
from slimgen.nets import build_generator
from slimgen.nets.resnet import narrowed_ngf
from slimgen.tasks.gan import perceptual_term, train_gan
from slimgen.tasks.job import Job


def train_uniform(job: Job, macs: float, updates: int) -> Trained:
    """Trains a uniformly narrowed ResNet with the task's losses, from scratch.

    It is the smallest one that costs at least as much as the found generator, so rounding favours the rival.

    Args:
        job: of the stage that fine-tunes.
        macs: what the found generator costs, under the budget's convention.
        updates: generator updates: as many as supernet training and fine-tuning took together.

    Raises:
        RecipeError: the original is no ResNet, so that there is no family to narrow.
    """
    recipe = job.recipe
    original = dict(recipe.teach.generator)
    if original.pop("family") != "resnet":
        raise RecipeError("finetune.uniform compares with a narrowed ResNet", recipe.teach.generator["family"])
    original.pop("ngf", None)
    options = {**original, "ngf": equal_ngf(macs, recipe.budget.convention, recipe.size, original)}
    generator = job.compute.place(build_generator("resnet", seed=recipe.seed, **options))
    # The schedule of fine-tuning, stretched: the same batch, rates and share of decay.
    schedule = recipe.finetune.model_copy(update={"updates": updates, "epochs": None})
    net = train_gan(
        job,
        "uniform",
        generator,
        job.task.discriminator(),
        schedule,
        updates,
        perceptual=perceptual_term(job),
        generator_steps=recipe.finetune.generator_steps,
        ema=recipe.finetune.ema,
    )
    return Trained(net, "resnet", options, updates)


def equal_ngf(macs: float, convention: str, size: int, options: Mapping[str, Any]) -> int:
    """The smallest `ngf` whose ResNet costs at least `macs` on an image of this size."""
    shape = {name: options[name] for name in ("blocks", "inputs", "outputs") if name in options}
    try:
        return narrowed_ngf(math.ceil(macs) - 1, convention, size, **shape) + 1
    except BudgetError:
        return 1
