"""The search `halving`: random genotypes, each trained by itself as `finetune` would, and successively halved."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import TypeVar

from torch import nn

from slimgen.errors import BudgetError, RunError
from slimgen.methods.drawn import drawn_within
from slimgen.methods.halving import Halved, Halving, of_each, of_supernet, rungs
from slimgen.methods.handing import keep, settle
from slimgen.methods.latency import Timed
from slimgen.methods.method import Found
from slimgen.methods.trials import Measured, Setup, Trials
from slimgen.methods.tuning import Opponent, Tuning, trained_by, unlogged
from slimgen.metrics.evaluator import WORST
from slimgen.nets.supernet import Supernet
from slimgen.search import Budget, Genotype, Objective, Space, Trial
from slimgen.search.predictor import Predictor
from slimgen.tasks.task import Job
from slimgen.training.distributed import alone, first

T = TypeVar("T")
NAME = "halving"
_PROPOSED = 8  # at a time, so that the next proposals learn from the results of the last
_MUTATIONS, _RATE = 2_000, 0.15


@dataclass(frozen=True)
class Course:
    """A method's training and measurement of genotypes without a supernet.

    Attributes:
        costs: maps a genotype to its costs, all kinds that the budget may limit.
        macs: maps a genotype to the MACs of all its generators together, on one image each.
        steps: updates of a whole training.
        train: trains a genotype's generators in a job, under a name, up to a number of updates; a later call continues.
        measure: maps a genotype and its generators to their quality.
        protocol: everything that the measurement depends on besides the generators, as text.
        weights: the digest of the initial weights, where they are not drawn from the seed.
    """

    space: Space
    costs: Callable[[Genotype], Mapping[str, float]]
    macs: Callable[[Genotype], float]
    objective: Objective
    steps: int
    train: Callable[[Job, str, Genotype, int], Sequence[nn.Module]]
    measure: Callable[[Genotype, Sequence[nn.Module]], dict[str, float]]
    protocol: str
    weights: str = "drawn"

    def halving(self, job: Job, margin: float) -> Halving:
        """Return the halving of these networks; a predicted latency must stay below its limit by the margin."""
        batch = job.recipe.finetune.batch
        return Halving(NAME, self.space, partial(Alone, job, self, margin), self.macs, self.steps, batch)


class Alone(Trials):
    """Trials of networks that are each trained by themselves, up to a number of updates, and then measured."""

    def __init__(self, job: Job, course: Course, margin: float, until: int) -> None:
        super().__init__(job, course.objective, course.weights, margin)
        self.course, self.until = course, until

    def count(self, genotype: Genotype) -> Mapping[str, float]:
        """Return the course's costs."""
        return self.course.costs(genotype)

    def protocol(self, genotype: Genotype) -> str:
        """Return the protocol of the measurement and of the training before it."""
        course, schedule = self.course, self.job.recipe.finetune
        return f"{course.protocol}; after {trained_by(self.job, schedule, self.until, course.steps, 'with all losses')}"

    def measure(self, genotype: Genotype, setup: Setup) -> Measured:
        """Train and measure a genotype, without waiting for other processes; one that diverges gets the worst value."""
        course, started, name = self.course, time.monotonic(), f"{NAME}-{genotype.key}"
        quality = {self.objective.metric: WORST[self.objective.goal]}
        with alone(), suppress(RunError):
            nets = course.train(unlogged(self.job), name, genotype, self.until)
            if self.until == course.steps:
                keep(self.job, genotype, nets)
            quality = course.measure(genotype, [net.eval() for net in nets])
        return Measured(quality, seconds=time.monotonic() - started)


def search_alone(
    job: Job,
    halving: Halving,
    parts: Sequence[Space],
    costs: Callable[[Genotype], Mapping[str, float]],
    budget: Budget,
    counts: tuple[int, int],
) -> Halved:
    """Halve genotypes within the budget: random ones, and some that a predictor proposes, a few at a time.

    If the space comes in parts, such as CF-GAN's paths, a few genotypes of each part are measured first, and all others
    are drawn from the part that is best on average. `counts` gives the numbers of random and of proposed genotypes.
    """
    (count, proposed), seed = counts, f"{job.recipe.seed}"
    until = rungs(count, halving.steps)[0][1]
    fitness, space, trials = halving.candidates(until).objective.fitness, parts[0], list[Trial]()
    if each := of_each(count, len(parts)):
        drawn = _first(partial(within_reach, parts, costs, budget, each, seed))
        measured = halving.measure([genotype for some in drawn.values() for genotype in some], until, step="parts")
        of = {trial.genotype: trial for trial in measured}
        # Diverged genotypes are left out: they say nothing about the others of their part.
        learned = {n: [v for one in some if math.isfinite(v := fitness(of[one].quality))] for n, some in drawn.items()}
        best = max(drawn, key=lambda number: mean(learned[number]) if learned[number] else -math.inf)
        space, trials = parts[best], [of.pop(genotype) for genotype in drawn[best]]
        halving.earlier = list(of.values())
    known = {trial.genotype for trial in trials}
    drawn_more = _first(lambda: drawn_within(space, costs, budget, count, seed, least=1))
    more = [genotype for genotype in drawn_more if genotype not in known][: count - len(trials)]
    trials = [*trials, *(halving.measure(more, until) if more else [])]
    for done in range(0, proposed, _PROPOSED):
        seen = {trial.genotype: fitness(trial.quality) for trial in trials}
        few = min(_PROPOSED, proposed - done)
        new = _first(partial(proposals, space, costs, budget, seen, few, seed))
        trials = [*trials, *(halving.measure(new, until, step=f"proposed{done}") if new else [])]
    return halving.halve(count, trials)


def found_alone(
    job: Job,
    supernet: Supernet,
    parts: Sequence[Space],
    clock: Timed,
    counts: tuple[int, int],
    oppose: Callable[[Genotype, nn.Module], Opponent],
) -> Found:
    """Return the outcome of halving the sub-networks of an untrained supernet."""
    schedule = job.recipe.finetune
    steps = schedule.steps(len(job.data.split("train")))

    def rung(until: int) -> Tuning:
        return Tuning(job, NAME, schedule, steps, oppose, until, kept=True, whole=True)

    costs = partial(clock.costs, job, supernet)
    halved = search_alone(job, of_supernet(job, supernet, clock, rung), parts, costs, clock.budget(job), counts)
    facts = {"space_size": float(sum(part.size for part in parts)), **halved.effort.facts(), **clock.facts}
    accepts = clock.accepts(job.recipe.budget.latency_ms, facts)
    found = halved.candidates.found(halved.last, facts, halved.earlier, accepts)
    settle(job, found.trial.genotype)
    return found


def _first(draw: Callable[[], T]) -> T:
    """Return a draw of the first process, which knows the milliseconds, without waiting for the others."""

    def by_itself() -> T:
        with alone():
            return draw()

    return first(by_itself)


def within_reach(
    parts: Sequence[Space], costs: Callable[[Genotype], Mapping[str, float]], budget: Budget, each: int, seed: str
) -> dict[int, list[Genotype]]:
    """Return a few random genotypes of each part of a space, by its number; only parts with any within the budget."""
    found: dict[int, list[Genotype]] = {}
    for number, part in enumerate(parts):
        with suppress(BudgetError):
            found[number] = drawn_within(part, costs, budget, each, f"{seed}/{number}", least=1)
    if not found:
        rule = f"no genotype within the budget in any of {len(parts)} parts of the space"
        raise BudgetError(rule, None, "raise the budget")
    return found


def proposals(
    space: Space,
    costs: Callable[[Genotype], Mapping[str, float]],
    budget: Budget,
    seen: Mapping[Genotype, float],
    count: int,
    seed: str,
) -> list[Genotype]:
    """Return the `count` best predicted of new genotypes within the budget, mutated from the better half of `seen`."""
    rng, predictor = random.Random(f"{seed}/proposals/{len(seen)}"), Predictor(space, costs, seen)
    parents = sorted(seen, key=lambda genotype: -seen[genotype])[: math.ceil(len(seen) / 2)]
    found: dict[Genotype, None] = {}
    for _ in range(_MUTATIONS):
        genotype = space.mutate(rng.choice(parents), rng, _RATE)
        if genotype not in seen and budget.allows(costs(genotype)):
            found[genotype] = None
    expected = dict(zip(found, predictor.predict(list(found)), strict=True)) if found else {}
    return sorted(expected, key=lambda genotype: -expected[genotype])[:count]
