"""Rivals of the found generator (narrowed originals, random architectures) and their training from scratch."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from slimgen import files
from slimgen.cost.formula import Cost
from slimgen.export.formats import to_time
from slimgen.export.latency.clock import Clock
from slimgen.export.latency.graph import onnx_graph
from slimgen.files import read_json, write_json
from slimgen.methods.checks import HALVING, NAIVE, NARROWED, NARROWED_LATENCY, RANDOM, RANDOM_PATH
from slimgen.methods.drawn import NEARLY, drawn_within
from slimgen.methods.effort import Effort
from slimgen.methods.halving import affordable, halve
from slimgen.methods.latency import Timed
from slimgen.methods.method import REVERSE, Trained
from slimgen.methods.tuning import Opponent, Tuning
from slimgen.nets import build_discriminator, build_generator, generator_cost, narrowed
from slimgen.nets.supernet import Supernet
from slimgen.recipe import Recipe
from slimgen.recipe.trainings import FinetuneSection
from slimgen.search import Genotype, Space
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.task import Job
from slimgen.training.distributed import first

_VISITS = 8  # timings of each network


class Plan(NamedTuple):
    """Family and options of one direction's networks; a discriminator left out is built as the original's."""

    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any] | None = None


def _built(job: Job, plans: Sequence[Plan]) -> list[Gan]:
    """Return the networks of each direction, each initialised from a different seed."""
    seed, gans = job.recipe.seed, []
    for number, (generator, discriminator) in enumerate(plans):
        net = job.compute.place(build_generator(seed=seed + 2 * number, **generator))
        if discriminator is None:
            gans.append(Gan(net, job.task.discriminator(2 * number + 1)))
        else:
            other = build_discriminator(seed=seed + 2 * number + 1, **discriminator)
            gans.append(Gan(net, job.compute.place(other)))
    return gans


def train_anew(job: Job, name: str, plans: Sequence[Plan], updates: int, until: int | None = None) -> list[nn.Module]:
    """Train networks as originals are trained, both directions of a CycleGAN together, and return the generators.

    Their averages are returned where `finetune.ema` asks for them. With `until`, the training stops after that many
    of its updates, and a later call continues it.
    """
    schedule, gans = job.recipe.finetune, _built(job, plans)
    how: dict[str, Any] = {"ema": schedule.ema, "until": until}
    if len(gans) == 1:
        return [job.task.train_original(job, GanTraining(name, *gans[0], schedule, updates, **how))]
    return list(train_cycle(job, CycleTraining(name, gans[0], gans[1], schedule, updates, **how)))


def narrowed_original(recipe: Recipe, kind: str, amount: float) -> dict[str, Any]:
    """Return the original's family and options at the smallest width that reaches an amount of `macs` or `params`."""
    return narrowest(recipe, recipe.teach.generator, kind, amount)


def narrowest(
    recipe: Recipe, about: Mapping[str, Any], kind: str, amount: float, width: tuple[str, int] | None = None
) -> dict[str, Any]:
    """Return a family and its options at the smallest width that reaches an amount of `macs` or `params`.

    `width` is the option that sets the width, with its smallest value, for a family that `narrowed` does not know.
    """
    options, size = dict(about), recipe.size
    family = options.pop("family")

    def amount_of(options: Mapping[str, Any]) -> float:
        return generator_cost(family, *size, **options).as_dict(recipe.budget.convention)[kind]

    return {"family": family, **narrowed(family, options, amount_of, amount, width)}


def narrowed_in_time(job: Job, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original's family and options, at the smallest width that takes as many milliseconds as `plan`.

    Both are timed in onnxruntime, one image at a time. The choice is stored, since another measurement might differ.
    """
    recipe, file = job.recipe, job.out / files.NARROWED
    clock, shape = Clock(recipe.evaluate.threads), (1, *job.task.shapes(job.data).given)

    def milliseconds(about: Mapping[str, Any]) -> float:
        graph = to_time(onnx_graph(build_generator(**about), shape), shape, recipe.export.deploy)
        return clock.settle([clock.visit(graph, shape) for _ in range(_VISITS)])

    def measured() -> dict[str, Any]:
        options = dict(recipe.teach.generator)
        family = options.pop("family")
        times: dict[str, float] = {}

        def time_of(about: Mapping[str, Any]) -> float:
            key = json.dumps(about)
            times[key] = times.get(key) or milliseconds({"family": family, **about})
            return times[key]

        return {"family": family, **narrowed(family, options, time_of, milliseconds(plan))}

    def chosen() -> dict[str, Any]:
        known = read_json(file)
        if not isinstance(known, dict):
            write_json(file, known := measured())
        return known

    return first(chosen)


def finetuned(
    job: Job, name: str, gan: Gan, steps: int, schedule: FinetuneSection | None = None, **how: Any
) -> nn.Module:
    """Train a generator in place as the section `finetune` says, or a rival by another schedule, and return it."""
    schedule = schedule or job.recipe.finetune
    every, ema = schedule.generator_steps, schedule.ema
    return train_gan(job, GanTraining(name, *gan, schedule, steps, generator_steps=every, ema=ema, **how))


class Entrant(NamedTuple):
    """A genotype of a method's space, ready to be trained from scratch as the found one is.

    Attributes:
        plan: family and options of the generator.
        net: the generator, with initial weights.
        opponent: the discriminator and further arguments of its training.
    """

    plan: Mapping[str, Any]
    net: nn.Module
    opponent: Opponent


class Chance(NamedTuple):
    """The source of random rivals, and their training.

    Attributes:
        supernet: an untrained supernet of the searched space.
        space: the part of its space that the recipe leaves.
        within: the same, narrowed to the found path; None where there are no paths.
        enter: maps a genotype, and the seed of its weights, to an entrant.
        oppose: maps a genotype and its network to its opponent in training.
        clock: the latency table, where the budget limits milliseconds.
    """

    supernet: Supernet
    space: Space
    within: Space | None
    enter: Callable[[Genotype, int], Entrant]
    oppose: Callable[[Genotype, nn.Module], Opponent]
    clock: Timed


def train_random(job: Job, chance: Chance, effort: Effort) -> dict[str, Trained]:
    """Train the random rivals from scratch, each with as many updates as all trainings behind the found generator.

    Returns:
        `random1`, `random2` ... from the whole space; `random_path1` ... from the found path; and `halving`, the best
        of random genotypes trained by themselves and successively halved with the found generator's MACs in total.
    """
    recipe, tuning, trained = job.recipe, job.recipe.finetune, dict[str, Trained]()
    batch, size, net, clock = tuning.batch, recipe.size, chance.supernet, chance.clock
    schedule = tuning.model_copy(update={"updates": effort.updates, "epochs": None})

    def draw(kind: str, space: Space, count: int) -> list[Genotype]:
        # The first process draws, since only it knows the milliseconds.
        costs, seed = partial(clock.costs, job, net), f"{recipe.seed}/{kind}"
        least = 1 if kind == HALVING else None
        return first(lambda: drawn_within(space, costs, clock.budget(job), count, seed, least))

    def train(name: str, genotype: Genotype, number: int, before: Effort) -> None:
        plan, rival, (discriminator, how) = chance.enter(genotype, recipe.seed + 1_000 + number)
        done = finetuned(job, name, Gan(rival, discriminator), effort.updates, schedule, **how)
        own = Effort.of(effort.updates, batch, net.cost(genotype, *size).exact)
        trained[name] = Trained.of(done, plan, effort.updates, before.plus(own))

    for kind, space in ((RANDOM, chance.space), (RANDOM_PATH, chance.within)):
        if kind not in tuning.rivals or space is None:
            continue
        for number, genotype in enumerate(draw(kind, space, tuning.random), 1):
            train(f"{kind}{number}", genotype, number + 100 * (kind == RANDOM_PATH), Effort())
    if HALVING in tuning.rivals:
        (one,) = draw(HALVING, chance.space, 1)
        # Other draws may cost more than this one, up to the limit.
        count = affordable(effort, effort.updates, batch, net.cost(one, *size).exact / NEARLY)

        def rung(until: int) -> Tuning:
            return Tuning(job, HALVING, schedule, effort.updates, chance.oppose, until, kept=True)

        halved = halve(job, net, clock, draw(HALVING, chance.space, count), rung)
        train(HALVING, halved.winner.genotype, 0, halved.effort)
    return trained


def train_in_time(
    job: Job, found: Mapping[str, Any], effort: Effort, oppose: Callable[[nn.Module], Opponent] | None = None
) -> dict[str, Trained]:
    """Train the original's family, narrowed to the found generator's milliseconds, where the recipe asks for it.

    `found` is the found generator's family and options; the rest is as for `train_rivals`.
    """
    if NARROWED_LATENCY not in job.recipe.finetune.rivals:
        return {}
    plan, name = narrowed_in_time(job, found), NARROWED_LATENCY
    (rival,) = _narrowed(job, name, [Plan(plan)], effort.updates, oppose)
    return {name: _trained(job, rival, plan, effort.updates)}


def train_rivals(
    job: Job, costs: Sequence[Cost], effort: Effort, oppose: Callable[[nn.Module], Opponent] | None = None
) -> dict[str, Trained]:
    """Train the original's family, narrowed to equal MACs, with the task's losses, where the recipe asks for it.

    Without pairs, the found generator learns from the original's outputs, and so does the narrowed one. The `naive`
    rival is the same network trained without them, in both directions (GAN Compression, Li et al. 2020, Figure 7a).

    A rival gets as many updates as all trainings behind the found generator, against a discriminator like the found
    one's (`oppose`) or the original's.

    Args:
        job: the stage's job.
        costs: costs of the found generator; of both, where they are trained together as a CycleGAN.
        effort: the effort behind the found generator.
        oppose: maps a network to its opponent; None for a discriminator like the original's.

    Returns:
        `narrowed`, `narrowed_reverse` for the reverse direction, and `naive`, as far as the recipe asks for them.
    """
    recipe, tuning, updates = job.recipe, job.recipe.finetune, effort.updates
    found: dict[str, tuple[nn.Module, Mapping[str, Any]]] = {}
    if not {NARROWED, NAIVE} & set(tuning.rivals):
        return {}
    plans = [narrowed_original(recipe, "macs", cost.macs(recipe.budget.convention)) for cost in costs]
    if NARROWED in tuning.rivals:
        nets = _narrowed(job, NARROWED, [Plan(plan) for plan in plans], updates, oppose)
        found |= {f"{NARROWED}{side}": (net, plan) for side, net, plan in zip(("", REVERSE), nets, plans, strict=False)}
    if NAIVE in tuning.rivals:
        (net,) = train_anew(job.learning(recipe.teach.losses or recipe.losses), NAIVE, [Plan(plans[0])], updates)
        found[NAIVE] = net, plans[0]
    return {name: _trained(job, *each, updates) for name, each in found.items()}


def _trained(job: Job, net: nn.Module, plan: Mapping[str, Any], updates: int) -> Trained:
    macs = generator_cost(**job.recipe.size._asdict(), **plan).exact
    return Trained.of(net, plan, updates, Effort.of(updates, job.recipe.finetune.batch, macs))


def _narrowed(
    job: Job, name: str, plans: Sequence[Plan], updates: int, oppose: Callable[[nn.Module], Opponent] | None
) -> list[nn.Module]:
    """Train generators of these plans with the found one's losses: one, or both directions of a CycleGAN."""
    gans, tuning = _built(job, plans), job.recipe.finetune
    # A longer schedule with the same batch size, rates and share of decay.
    schedule = tuning.model_copy(update={"updates": updates, "epochs": None})
    if len(gans) > 1:
        return list(train_cycle(job, CycleTraining(name, gans[0], gans[1], schedule, updates, ema=tuning.ema)))
    net, discriminator = gans[0]
    how: Mapping[str, Any] = {"guidance": original_guidance(job)}
    if oppose is not None:
        discriminator, how = oppose(net)
    return [finetuned(job, name, Gan(net, discriminator), updates, schedule, **how)]
