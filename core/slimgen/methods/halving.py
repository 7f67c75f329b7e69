"""Successive halving (Jamieson and Talwalkar 2016): networks trained alone, of which the better half goes on.

Random architectures searched so are what one-shot searches of supernets seldom beat (Li and Talwalkar 2019).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from torch import nn

from slimgen.methods.candidates import Candidates
from slimgen.methods.drawn import drawn_within
from slimgen.methods.effort import PASSES, Effort
from slimgen.methods.latency import Timed
from slimgen.methods.method import Found
from slimgen.methods.tuning import Opponent, Tuning
from slimgen.nets.supernet import Supernet
from slimgen.search import Exhaustive, Genotype, Space, Trial
from slimgen.tasks.task import Job
from slimgen.training.distributed import first


class Halved(NamedTuple):
    """What successive halving came to: the trials of the last rung and those before, and the effort of all of them."""

    last: list[Trial]
    earlier: list[Trial]
    candidates: Candidates
    effort: Effort

    @property
    def winner(self) -> Trial:
        """The best of the last rung."""
        return self.candidates.best(self.last)


def rungs(count: int, steps: int) -> list[tuple[int, int]]:
    """How many networks each rung has, and for how many updates each of them is trained by its end.

    The last rung has two, or one where there are no more; the winner's whole training has `steps`.
    """
    found: list[tuple[int, int]] = []
    while count > 1 or not found:
        before = found[-1][1] if found else 0
        found.append((count, max(before + 1, steps // max(2, count))))
        count = math.ceil(count / 2)
    return found


def updates(count: int, steps: int) -> int:
    """The updates of all rungs together, and of the winner's whole training from scratch."""
    done, before = 0, 0
    for networks, until in rungs(count, steps):
        done, before = done + networks * (until - before), until
    return done + steps


def affordable(effort: Effort, steps: int, batch: int, macs: float, most: int = 64) -> int:
    """The most networks, of so many MACs an image each, whose halving takes no more MACs than an effort; at least 2."""
    count = 2
    while count < most and PASSES * macs * batch * updates(2 * count, steps) <= effort.macs:
        count *= 2
    return count


def halve(
    job: Job, supernet: Supernet, clock: Timed, genotypes: Sequence[Genotype], train: Callable[[int], Tuning]
) -> Halved:
    """Trains genotypes rung by rung, on the weights that they inherit from the supernet, trained or not.

    They are distinct, and within the budget. `train` is the training of a rung, given after how many updates it ends.
    The updates of candidates are none of what is found, which is trained from its beginning afterwards.
    """
    space: Space = supernet.space
    remaining, earlier, last, effort, before = list(genotypes), list[Trial](), list[Trial](), Effort(), 0
    size, steps = job.recipe.size, train(1).steps
    for _, until in rungs(len(remaining), steps):
        tuning = train(until)
        candidates = Candidates(job, supernet, clock.predict, clock.margin, tuning)
        macs, shown = [supernet.cost(genotype, size, size).exact for genotype in remaining], until - before
        effort = effort.plus(Effort.candidates(macs, shown, tuning.schedule.batch))
        earlier += last
        searcher = Exhaustive(space, candidates.objective, candidates.allows, len(remaining), genotypes=remaining)
        last = candidates.explore(f"{tuning.name}-{until}", searcher, len(remaining))
        fitness = {trial.genotype: candidates.objective.fitness(trial.quality) for trial in last}
        # Stable: of equals the earlier stays.
        remaining = sorted(remaining, key=lambda genotype: -fitness[genotype])[: math.ceil(len(remaining) / 2)]
        before = until
    return Halved(last, earlier, candidates, effort)


def search_alone(
    job: Job,
    supernet: Supernet,
    space: Space,
    clock: Timed,
    count: int,
    oppose: Callable[[Genotype, nn.Module], Opponent],
) -> Found:
    """The search `halving`: random genotypes within the budget, trained alone as what it finds will be."""
    schedule = job.recipe.finetune
    steps, seed = schedule.steps(len(job.data.split("train"))), f"{job.recipe.seed}"
    costs = partial(clock.costs, job, supernet)
    # By the first process, which knows the milliseconds.
    drawn = first(lambda: drawn_within(space, costs, clock.budget(job), count, seed))

    def rung(until: int) -> Tuning:
        return Tuning(job, "halving", schedule, steps, oppose, until, kept=True)

    halved = halve(job, supernet, clock, drawn, rung)
    facts = {"space_size": float(space.size), **halved.effort.facts(), **clock.facts}
    accepts = clock.accepts(job.recipe.budget.latency_ms, facts)
    return halved.candidates.found(halved.last, facts, halved.earlier, accepts)
