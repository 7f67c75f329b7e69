"""Training what a relaxation found from scratch, beside random architectures of the same size."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from slimgen.errors import RunError
from slimgen.nets import build_discriminator, build_generator
from slimgen.search import Budget, Genotype
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining
from slimgen.tasks.task import Job

UNLIMITED = Budget()
_TRIES = 100_000


class Plan(NamedTuple):
    """How to build the networks of one direction.

    Attributes:
        generator: family and options.
        discriminator: likewise.
    """

    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any]


def train_anew(job: Job, name: str, plans: Sequence[Plan], updates: int) -> list[nn.Module]:
    """Trains networks as originals are: one generator, or both directions of a CycleGAN together.

    Args:
        job: of the stage that fine-tunes.
        name: of the training, for its checkpoints and log.
        plans: of the recipe's direction; and of the reverse one.
        updates: of the generators.

    Returns:
        The generators, or their averages, in evaluation mode.
    """
    schedule, seed, place = job.recipe.finetune, job.recipe.seed, job.compute.place
    gans = [
        Gan(
            place(build_generator(seed=seed + 2 * number, **plan.generator)),
            place(build_discriminator(seed=seed + 2 * number + 1, **plan.discriminator)),
        )
        for number, plan in enumerate(plans)
    ]
    if len(gans) == 1:
        return [job.task.train_original(job, GanTraining(name, *gans[0], schedule, updates, ema=schedule.ema))]
    return list(train_cycle(job, CycleTraining(name, gans[0], gans[1], schedule, updates, ema=schedule.ema)))


def alike(
    draw: Callable[[random.Random], Genotype],
    costs: Callable[[Genotype], Mapping[str, float]],
    params: float,
    tolerance: float,
    count: int,
    seed: str,
    budget: Budget = UNLIMITED,
) -> list[Genotype]:
    """Random genotypes of about so many parameters, all different.

    Args:
        draw: a random genotype.
        costs: of a genotype, by kind.
        params: what is wanted.
        tolerance: the largest relative difference from it.
        count: how many.
        seed: of the draws.
        budget: what they must keep to.

    Raises:
        RunError: too few of very many draws are of that size.
    """
    found: dict[Genotype, None] = {}
    for number in range(_TRIES):
        if len(found) == count:
            break
        genotype = draw(random.Random(f"{seed}/{number}"))
        cost = costs(genotype)
        if abs(cost["params"] / params - 1) <= tolerance and budget.allows(cost):
            found[genotype] = None
    if len(found) < count:
        rule = f"{count} of {_TRIES:,} random architectures must have about {params:,.0f} parameters"
        raise RunError(rule, f"{len(found)}", "set search.equal_size larger, or another size")
    return list(found)
