"""What a found generator is compared with, and training it anew: rivals narrowed or by hand, random architectures."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from slimgen.cost.formula import Cost
from slimgen.errors import BudgetError, RunError
from slimgen.methods.checks import HALVING, NARROWED, RANDOM, RANDOM_PATH, priced
from slimgen.methods.effort import Effort
from slimgen.methods.halving import affordable, halve
from slimgen.methods.method import REVERSE, Trained
from slimgen.methods.tuning import Opponent, Tuning
from slimgen.nets import build_discriminator, build_generator, generator_cost, narrowed
from slimgen.nets.supernet import Supernet
from slimgen.recipe import Recipe
from slimgen.recipe.sections import FinetuneSection
from slimgen.search import Budget, Genotype, Space, require_reachable
from slimgen.search.searcher import Feasible
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.task import Job

_TRIES = 100_000
_DRAWS, _RARE = 20_000, 200
NEARLY = 0.8  # of what a budget allows, at least


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


class Entrant(NamedTuple):
    """A genotype of a method's space, to be trained from scratch as the method trains what it found.

    Attributes:
        plan: family and options.
        net: the generator, with initial weights.
    """

    plan: Mapping[str, Any]
    net: nn.Module
    opponent: Opponent


class Chance(NamedTuple):
    """What random rivals are drawn from, and how they are trained.

    Attributes:
        supernet: untrained; its space is what was searched.
        space: the part of it that a recipe leaves.
        within: the same, narrowed to the path that was found; None where there are no paths.
        enter: a genotype, and the seed of its weights, as an entrant.
        oppose: a network of a genotype, to what it is trained against.
    """

    supernet: Supernet
    space: Space
    within: Space | None
    enter: Callable[[Genotype, int], Entrant]
    oppose: Callable[[Genotype, nn.Module], Opponent]


def drawn_within(
    space: Space, costs: Callable[[Genotype], Mapping[str, float]], budget: Budget, count: int, seed: str
) -> list[Genotype]:
    """Different random genotypes that cost nearly what a budget allows: uniform draws of the whole space.

    Where hardly any draw is within the budget, they go by random steps towards the smallest genotype until they are.

    Raises:
        BudgetError: there are not so many.
    """

    def allows(genotype: Genotype) -> bool:
        return budget.allows(costs(genotype))

    part = Feasible(space, allows, require_reachable(space, costs, budget))
    found: dict[Genotype, None] = {}
    rare = False
    for number in range(_DRAWS):
        if len(found) == count:
            break
        rng = random.Random(f"{seed}/{number}")
        drawn = space.sample(rng)
        rare = rare or (number >= _RARE and not found)
        genotype = drawn if allows(drawn) else part.repair(drawn, rng) if rare else None
        # What costs far less than it might is no rival.
        if genotype is not None and budget.used(costs(genotype)) >= (NEARLY if number < _DRAWS // 2 else 0):
            found[genotype] = None
    if len(found) < count:
        rule = f"{count} random genotypes within the budget"
        raise BudgetError(rule, f"{len(found)} of {_DRAWS:,} draws", "lower finetune.random, or raise the budget")
    return list(found)


def train_random(job: Job, chance: Chance, effort: Effort) -> dict[str, Trained]:
    """Trains the rivals that chance finds, from scratch, each with as many updates as all that led to the found one.

    Returns:
        `random1`, `random2` ... over the whole space; `random_path1` ... within the path that was found; `halving`, the
        best of random genotypes trained alone and successively halved, which may take the found one's MACs together.
    """
    recipe, tuning, trained = job.recipe, job.recipe.finetune, dict[str, Trained]()
    batch, size, net = tuning.batch, recipe.size, chance.supernet
    schedule = tuning.model_copy(update={"updates": effort.updates, "epochs": None})

    def costs(genotype: Genotype) -> Mapping[str, float]:
        return priced(net.cost(genotype, size, size), recipe)

    def train(name: str, genotype: Genotype, number: int, before: Effort) -> None:
        plan, rival, (discriminator, how) = chance.enter(genotype, recipe.seed + 1_000 + number)
        done = finetuned(job, name, Gan(rival, discriminator), effort.updates, schedule, **how)
        own = Effort.of(effort.updates, batch, net.cost(genotype, size, size).exact)
        trained[name] = Trained.of(done, plan, effort.updates, before.plus(own))

    for kind, space in ((RANDOM, chance.space), (RANDOM_PATH, chance.within)):
        if kind not in tuning.rivals or space is None:
            continue
        drawn = drawn_within(space, costs, job.budget, tuning.random, f"{recipe.seed}/{kind}")
        for number, genotype in enumerate(drawn, 1):
            train(f"{kind}{number}", genotype, number + 100 * (kind == RANDOM_PATH), Effort())
    if HALVING in tuning.rivals:
        first = drawn_within(chance.space, costs, job.budget, 1, f"{recipe.seed}/{HALVING}")[0]
        count = affordable(effort, effort.updates, batch, net.cost(first, size, size).exact)
        drawn = drawn_within(chance.space, costs, job.budget, count, f"{recipe.seed}/{HALVING}")

        def rung(until: int) -> Tuning:
            return Tuning(job, HALVING, schedule, effort.updates, chance.oppose, until, kept=True)

        halved = halve(job, net, drawn, rung)
        train(HALVING, halved.winner.genotype, 0, halved.effort)
    return trained


def train_rivals(
    job: Job, costs: Sequence[Cost], effort: Effort, oppose: Callable[[nn.Module], Opponent] | None = None
) -> dict[str, Trained]:
    """Trains the original's family, narrowed to equal MACs, with the task's losses, where the recipe asks for it.

    `costs` are of the found generator, of both where they are trained together as a CycleGAN. It takes as many
    updates as all trainings that led to them, against a discriminator as theirs, or as the original's.

    Returns:
        `narrowed`, and `narrowed_reverse` of the other direction; or nothing.
    """
    recipe, tuning, updates = job.recipe, job.recipe.finetune, effort.updates
    if NARROWED not in tuning.rivals:
        return {}
    plans = [narrowed_original(recipe, "macs", cost.macs(recipe.budget.convention)) for cost in costs]
    gans = _built(job, [Plan(plan) for plan in plans])
    # Stretched: the same batch, rates and share of decay.
    schedule = tuning.model_copy(update={"updates": updates, "epochs": None})
    nets: list[nn.Module] = []
    if len(gans) == 1:
        net, discriminator = gans[0]
        how: Mapping[str, Any] = {"guidance": original_guidance(job)}
        if oppose is not None:
            discriminator, how = oppose(net)
        nets.append(finetuned(job, NARROWED, Gan(net, discriminator), updates, schedule, **how))
    else:
        nets.extend(train_cycle(job, CycleTraining(NARROWED, gans[0], gans[1], schedule, updates, ema=tuning.ema)))
    found = {}
    for side, net, plan in zip(("", REVERSE), nets, plans, strict=False):
        own = Effort.of(updates, tuning.batch, generator_cost(height=recipe.size, width=recipe.size, **plan).exact)
        found[f"{NARROWED}{side}"] = Trained.of(net, plan, updates, own)
    return found
