"""Training what a relaxation found from scratch, beside random architectures of the same size."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from slimgen.cost.formula import Cost
from slimgen.errors import RunError
from slimgen.methods.checks import NARROWED
from slimgen.methods.method import REVERSE, Trained
from slimgen.nets import build_discriminator, build_generator, narrowed
from slimgen.recipe import Recipe
from slimgen.recipe.sections import FinetuneSection
from slimgen.search import Budget, Genotype
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
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


def narrowed_original(recipe: Recipe, kind: str, amount: float) -> dict[str, Any]:
    """The original's family, and its options at the smallest width that costs so much: rounding favours the rival.

    Args:
        recipe: names the original, the image's size and how MACs are counted.
        kind: of cost: `macs` or `params`.
        amount: of it, at least.
    """
    options, size = dict(recipe.teach.generator), recipe.size
    family = options.pop("family")

    def amount_of(cost: Cost) -> int:
        return cost.as_dict(recipe.budget.convention)[kind]

    return {"family": family, **narrowed(family, options, size, size, amount_of, amount)}


def finetuned(
    job: Job, name: str, gan: Gan, steps: int, schedule: FinetuneSection | None = None, **how: Any
) -> nn.Module:
    """Trains a generator as the section `finetune` says: `found`, or a rival with a schedule of its own.

    Args:
        job: of the stage.
        name: of the training.
        gan: trained in place.
        steps: updates of the generator.
        schedule: where it is not the recipe's.
        how: what else a `GanTraining` is given.
    """
    schedule = schedule or job.recipe.finetune
    every, ema = schedule.generator_steps, schedule.ema
    return train_gan(job, GanTraining(name, *gan, schedule, steps, generator_steps=every, ema=ema, **how))


def train_rivals(job: Job, costs: Sequence[Cost], updates: int) -> dict[str, Trained]:
    """Trains the original's family, narrowed to equal MACs, with the task's losses, where the recipe asks for it.

    Args:
        job: of the stage that fine-tunes.
        costs: of the found generator; of two sets of images, whose directions are trained together as a CycleGAN, of
            the generators of either direction.
        updates: generator updates: as many as all trainings that led to the found generator.

    Returns:
        `narrowed`, and `narrowed_reverse` of the other direction; or nothing.
    """
    recipe, task, tuning = job.recipe, job.task, job.recipe.finetune
    if NARROWED not in tuning.rivals:
        return {}
    plans = [narrowed_original(recipe, "macs", cost.macs(recipe.budget.convention)) for cost in costs]
    gans = [
        Gan(
            job.compute.place(build_generator(seed=recipe.seed + 2 * number, **plan)),
            task.discriminator(2 * number + 1),
        )
        for number, plan in enumerate(plans)
    ]
    # Stretched: the same batch, rates and share of decay.
    schedule = tuning.model_copy(update={"updates": updates, "epochs": None})
    nets: list[nn.Module] = []
    if len(gans) == 1:
        nets.append(finetuned(job, NARROWED, gans[0], updates, schedule, guidance=original_guidance(job)))
    else:
        nets.extend(train_cycle(job, CycleTraining(NARROWED, gans[0], gans[1], schedule, updates, ema=tuning.ema)))
    sides = zip(("", REVERSE), nets, plans, strict=False)
    return {f"{NARROWED}{side}": Trained.of(net, plan, updates) for side, net, plan in sides}
