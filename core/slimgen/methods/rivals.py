"""What a found generator is compared with, and training it anew: rivals narrowed or by hand, random architectures."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from slimgen import files
from slimgen.cost.formula import Cost
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

_VISITS = 8  # of a network that is timed


class Plan(NamedTuple):
    """Family and options of the networks of one direction; without a discriminator's, it is built as the original's."""

    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any] | None = None


def _built(job: Job, plans: Sequence[Plan]) -> list[Gan]:
    """Return the networks of each direction, each initialised from a seed of its own."""
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
    """Train networks as originals are, both directions of a CycleGAN together; the generators, or their averages.

    A training stops after `until` of its updates, where that is given, to go on later.
    """
    schedule, gans = job.recipe.finetune, _built(job, plans)
    how: dict[str, Any] = {"ema": schedule.ema, "until": until}
    if len(gans) == 1:
        return [job.task.train_original(job, GanTraining(name, *gans[0], schedule, updates, **how))]
    return list(train_cycle(job, CycleTraining(name, gans[0], gans[1], schedule, updates, **how)))


def narrowed_original(recipe: Recipe, kind: str, amount: float) -> dict[str, Any]:
    """The original's family, and its options at the smallest width of so many `macs` or `params`, or of a few more."""
    options, size = dict(recipe.teach.generator), recipe.size
    family = options.pop("family")

    def amount_of(about: Mapping[str, Any]) -> float:
        return generator_cost(family, *size, **about).as_dict(recipe.budget.convention)[kind]

    return {"family": family, **narrowed(family, options, amount_of, amount)}


def narrowed_in_time(job: Job, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The original's family, and its options at the smallest width that takes as many milliseconds as a generator.

    Both are timed in onnxruntime, one image at a time. What was chosen is kept: measured again, it might be another.
    """
    recipe, file = job.recipe, job.out / files.NARROWED
    clock, shape = Clock(recipe.evaluate.threads), (1, *job.task.shapes(job.data).given)

    def milliseconds(about: Mapping[str, Any]) -> float:
        graph = onnx_graph(build_generator(**about), shape)
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
    """Train a generator in place as the section `finetune` says: `found`, or a rival with a schedule of its own."""
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
        clock: of milliseconds, where they are limited.
    """

    supernet: Supernet
    space: Space
    within: Space | None
    enter: Callable[[Genotype, int], Entrant]
    oppose: Callable[[Genotype, nn.Module], Opponent]
    clock: Timed


def train_random(job: Job, chance: Chance, effort: Effort) -> dict[str, Trained]:
    """Train the rivals that chance finds, from scratch, each with as many updates as all that led to the found one.

    Returns:
        `random1`, `random2` ... over the whole space; `random_path1` ... within the path that was found; `halving`, the
        best of random genotypes trained alone and successively halved, which may take the found one's MACs together.
    """
    recipe, tuning, trained = job.recipe, job.recipe.finetune, dict[str, Trained]()
    batch, size, net, clock = tuning.batch, recipe.size, chance.supernet, chance.clock
    schedule = tuning.model_copy(update={"updates": effort.updates, "epochs": None})

    def draw(kind: str, space: Space, count: int) -> list[Genotype]:
        # By the first process, which knows the milliseconds.
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
        # Others may cost as much more as the one that was drawn is below the limit.
        count = affordable(effort, effort.updates, batch, net.cost(one, *size).exact / NEARLY)

        def rung(until: int) -> Tuning:
            return Tuning(job, HALVING, schedule, effort.updates, chance.oppose, until, kept=True)

        halved = halve(job, net, clock, draw(HALVING, chance.space, count), rung)
        train(HALVING, halved.winner.genotype, 0, halved.effort)
    return trained


def train_in_time(
    job: Job, found: Mapping[str, Any], effort: Effort, oppose: Callable[[nn.Module], Opponent] | None = None
) -> dict[str, Trained]:
    """Train the original's family, narrowed to the found one's milliseconds, where the recipe asks for it.

    The found one is given by family and options. Otherwise as `train_rivals`.
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

    Of two sets, what is found learns from the original's answers, and so does what is narrowed; the `naive` one is the
    same network trained without them, in both directions (GAN Compression, Li et al. 2020, Figure 7a).

    `costs` are of the found generator, of both where they are trained together as a CycleGAN. It takes as many
    updates as all trainings that led to them, against a discriminator as theirs, or as the original's.

    Returns:
        `narrowed`, and `narrowed_reverse` of the other direction; `naive`; or nothing.
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
    """Train generators of these plans with the losses of what was found: one, or both directions of a CycleGAN."""
    gans, tuning = _built(job, plans), job.recipe.finetune
    # Stretched: the same batch, rates and share of decay.
    schedule = tuning.model_copy(update={"updates": updates, "epochs": None})
    if len(gans) > 1:
        return list(train_cycle(job, CycleTraining(name, gans[0], gans[1], schedule, updates, ema=tuning.ema)))
    net, discriminator = gans[0]
    how: Mapping[str, Any] = {"guidance": original_guidance(job)}
    if oppose is not None:
        discriminator, how = oppose(net)
    return [finetuned(job, name, Gan(net, discriminator), updates, schedule, **how)]
