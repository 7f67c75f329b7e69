"""What a found generator is compared with, and training it anew: rivals narrowed or by hand, random architectures."""

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

_TRIES = 100_000


class Plan(NamedTuple):
    """Family and options of the networks of one direction; without a discriminator's, it is built as the original's."""

    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any] | None = None


def _built(job: Job, plans: Sequence[Plan]) -> list[Gan]:
    """The networks of each direction, each initialised from a seed of its own."""
    seed, gans = job.recipe.seed, []
    for number, (generator, discriminator) in enumerate(plans):
        net = job.compute.place(build_generator(seed=seed + 2 * number, **generator))
        if discriminator is None:
            gans.append(Gan(net, job.task.discriminator(2 * number + 1)))
        else:
            other = build_discriminator(seed=seed + 2 * number + 1, **discriminator)
            gans.append(Gan(net, job.compute.place(other)))
    return gans


def train_anew(job: Job, name: str, plans: Sequence[Plan], updates: int) -> list[nn.Module]:
    """Trains networks as originals are, both directions of a CycleGAN together; the generators, or their averages."""
    schedule, gans = job.recipe.finetune, _built(job, plans)
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
    budget: Budget | None = None,
) -> list[Genotype]:
    """Random genotypes of about `params` parameters and within a budget, all different; RunError if too few are."""
    found: dict[Genotype, None] = {}
    for number in range(_TRIES):
        if len(found) == count:
            break
        genotype = draw(random.Random(f"{seed}/{number}"))
        cost = costs(genotype)
        if abs(cost["params"] / params - 1) <= tolerance and (budget is None or budget.allows(cost)):
            found[genotype] = None
    if len(found) < count:
        rule = f"{count} of {_TRIES:,} random architectures must have about {params:,.0f} parameters"
        raise RunError(rule, f"{len(found)}", "set search.equal_size larger, or another size")
    return list(found)


def narrowed_original(recipe: Recipe, kind: str, amount: float) -> dict[str, Any]:
    """The original's family, and its options at the smallest width of so many `macs` or `params`, or of a few more."""
    options, size = dict(recipe.teach.generator), recipe.size
    family = options.pop("family")
    options = narrowed(family, options, size, size, lambda cost: cost.as_dict(recipe.budget.convention)[kind], amount)
    return {"family": family, **options}


def finetuned(
    job: Job, name: str, gan: Gan, steps: int, schedule: FinetuneSection | None = None, **how: Any
) -> nn.Module:
    """Trains a generator in place as the section `finetune` says: `found`, or a rival with a schedule of its own."""
    schedule = schedule or job.recipe.finetune
    every, ema = schedule.generator_steps, schedule.ema
    return train_gan(job, GanTraining(name, *gan, schedule, steps, generator_steps=every, ema=ema, **how))


def train_rivals(job: Job, costs: Sequence[Cost], updates: int) -> dict[str, Trained]:
    """Trains the original's family, narrowed to equal MACs, with the task's losses, where the recipe asks for it.

    `costs` are of the found generator, of both where they are trained together as a CycleGAN. It takes as many
    `updates` as all trainings that led to them.

    Returns:
        `narrowed`, and `narrowed_reverse` of the other direction; or nothing.
    """
    recipe, tuning = job.recipe, job.recipe.finetune
    if NARROWED not in tuning.rivals:
        return {}
    plans = [narrowed_original(recipe, "macs", cost.macs(recipe.budget.convention)) for cost in costs]
    gans = _built(job, [Plan(plan) for plan in plans])
    # Stretched: the same batch, rates and share of decay.
    schedule = tuning.model_copy(update={"updates": updates, "epochs": None})
    nets: list[nn.Module] = []
    if len(gans) == 1:
        nets.append(finetuned(job, NARROWED, gans[0], updates, schedule, guidance=original_guidance(job)))
    else:
        nets.extend(train_cycle(job, CycleTraining(NARROWED, gans[0], gans[1], schedule, updates, ema=tuning.ema)))
    sides = zip(("", REVERSE), nets, plans, strict=False)
    return {f"{NARROWED}{side}": Trained.of(net, plan, updates) for side, net, plan in sides}
