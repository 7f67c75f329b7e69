"""Successive halving of pairs of masks, each pair's generators trained by themselves, in place of an evolution."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from slimgen.methods.alone import Course, search_alone
from slimgen.methods.co_evolution.fitness import FITNESS, Fitness, Side
from slimgen.methods.co_evolution.options import SearchOptions
from slimgen.methods.co_evolution.roulette import TURNS
from slimgen.methods.handing import settle
from slimgen.methods.method import Found
from slimgen.nets import build_generator
from slimgen.search import Genotype, Space, Trial
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.task import Job


def halved(fitness: Fitness, space: Space, options: SearchOptions) -> Found:
    """Return the best of random pairs within the budget, trained as in `finetune`, by both directions' mean fitness.

    Each of the two generators must be within the budget. `space` is the space of pairs, with the turn fixed to the
    first direction.
    """
    job, clock, originals = fitness.job, fitness.clock, fitness.sides
    size, steps = job.recipe.size, job.recipe.finetune.steps(len(job.data.split("train")))

    def costs(pair: Genotype) -> Mapping[str, float]:
        each = [fitness.costs_of(turn, pair.under(turn)) for turn in TURNS]
        return {name: max(one[name] for one in each) for name in each[0]}

    def macs(pair: Genotype) -> float:
        return sum(side.filters.cost(pair.under(turn), *size).exact for turn, side in originals.items())

    def train(within: Job, name: str, pair: Genotype, until: int) -> Sequence[nn.Module]:
        return train_pair(within, name, pruned(job, originals, pair), steps, until)

    def measure(pair: Genotype, nets: Sequence[nn.Module]) -> dict[str, float]:
        """Return the first direction's quality, and the fitness of both directions and their mean."""
        one, other = (job.compute.ready(net) for net in nets)
        beside = zip(TURNS, ((one, other), (other, one)), strict=True)
        both = [fitness.beside(turn, pair.under(turn), *nets) for turn, nets in beside]
        values = [each[FITNESS] for each in both]
        return {**both[0], FITNESS: sum(values) / 2, "forward": values[0], "reverse": values[1]}

    protocol = "; ".join(fitness.protocol_of(turn) for turn in TURNS)
    course = Course(space, costs, macs, fitness.objective, steps, train, measure, protocol, fitness.weights)
    counts, halving = (options.candidates, options.proposed), course.halving(job, clock.margin)
    outcome, limit = search_alone(job, halving, [space], costs, clock.budget(job), counts), job.budget.latency_ms

    def slower(pair: Genotype) -> list[float]:
        return [clock.measured(pair.under(turn)) for turn in TURNS]

    def accepts(trial: Trial) -> bool:
        return limit is None or max(slower(trial.genotype)) <= limit

    found = outcome.candidates.found(outcome.last, {}, outcome.earlier, accepts)
    pair = found.trial.genotype
    settle(job, pair)
    forward, reverse = (fitness.costs_of(turn, pair.under(turn)) for turn in TURNS)
    winner = replace(found.trial, costs=forward)
    facts = {"space_size": float(space.size), **found.facts, **outcome.effort.facts()}
    facts |= fitness.facts(replace(found.trial, costs=reverse, quality={FITNESS: found.trial.quality["reverse"]}))
    if limit is not None:
        facts |= dict(zip(("latency_measured_ms", "reverse_latency_measured_ms"), slower(pair), strict=True))
    return Found(winner, [winner if one == found.trial else one for one in found.trials], facts, fitness.objective)


def pruned(job: Job, originals: Mapping[str, Side], pair: Genotype) -> list[Gan]:
    """Return both generators of a pair, with inherited or new weights, and copies of the originals' discriminators."""
    recipe, gans = job.recipe, list[Gan]()
    family = recipe.teach.generator["family"]
    for number, (name, side) in enumerate(originals.items()):
        if recipe.finetune.inherit:
            net = side.filters.cut(pair.under(name))
        else:
            about = side.filters.described(pair.under(name))
            net = build_generator(family, seed=recipe.seed + 2 * number, **about)
        gans.append(Gan(job.compute.place(net), copy.deepcopy(side.gan.discriminator)))
    return gans


def train_pair(job: Job, name: str, gans: Sequence[Gan], steps: int, until: int | None = None) -> Sequence[nn.Module]:
    """Train both generators of a pair together, as the section `finetune` says."""
    schedule = job.recipe.finetune
    for gan in gans:
        for part in gan:
            part.train().requires_grad_(True)
    return train_cycle(job, CycleTraining(name, gans[0], gans[1], schedule, steps, ema=schedule.ema, until=until))
