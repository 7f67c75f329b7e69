"""Successive halving (Jamieson and Talwalkar 2016): networks trained alone, of which the better half goes on.

Random architectures searched so are what one-shot searches of supernets seldom beat (Li and Talwalkar 2019).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slimgen.errors import RunError
from slimgen.methods.candidates import Candidates
from slimgen.methods.effort import PASSES, Effort
from slimgen.methods.latency import Timed
from slimgen.methods.trials import Trials
from slimgen.methods.tuning import Tuning
from slimgen.nets.supernet import Supernet
from slimgen.search import Exhaustive, Genotype, Space, Trial, leading
from slimgen.tasks.task import Job


class Halved(NamedTuple):
    """What successive halving came to: the trials of the last rung and those before, and the effort of all of them."""

    last: list[Trial]
    earlier: list[Trial]
    candidates: Trials
    effort: Effort

    @property
    def winner(self) -> Trial:
        """The best of the last rung."""
        return self.candidates.best(self.last)


def rungs(count: int, steps: int) -> list[tuple[int, int]]:
    """Return how many networks each rung has, and for how many updates each of them is trained by its end.

    The last rung has two, or one where there are no more, and they are trained whole, which takes `steps`.
    """
    found: list[tuple[int, int]] = []
    before = 0
    while (count > 1 or not found) and before < steps:
        before = min(steps, max(before + 1, 2 * steps // max(2, count)))
        found.append((count, before))
        count = math.ceil(count / 2)
    return found


def updates(count: int, steps: int) -> int:
    """Return the updates of all rungs together, and of the winner, which is trained again from its beginning."""
    done, before = 0, 0
    for networks, until in rungs(count, steps):
        done, before = done + networks * (until - before), until
    return done + steps


def of_each(count: int, parts: int) -> int:
    """Return how many of so many random networks are measured of each part of a space, before one part is chosen.

    0 where there are fewer than two for each part: they are drawn over the whole space then, and no part is chosen.
    """
    return count // parts if parts > 1 and count >= 2 * parts else 0


def first_rung(count: int, proposed: int, parts: int = 1) -> int:
    """Return how many networks the first rung of the search measures, at most."""
    each = of_each(count, parts)
    return each * parts + count - each + proposed


def measurements(count: int, proposed: int, parts: int = 1) -> int:
    """Return how many networks all rungs of the search measure together, at most."""
    later = sum(networks for networks, _ in rungs(count, 2 * count)[1:])
    return first_rung(count, proposed, parts) + later


def pictures(counts: tuple[int, int], steps: int, batch: int, parts: int = 1) -> int:
    """Return how many pictures all networks of all rungs learn of, at most."""
    (_, before), *others = rungs(counts[0], steps)
    learned = first_rung(*counts, parts) * before
    for networks, until in others:
        learned, before = learned + networks * (until - before), until
    return learned * batch


def affordable(effort: Effort, steps: int, batch: int, macs: float, most: int = 64) -> int:
    """The most networks, of so many MACs an image each, whose halving takes no more MACs than an effort; at least 2."""
    count = 2
    while count < most and PASSES * macs * batch * updates(2 * count, steps) <= effort.macs:
        count *= 2
    return count


@dataclass
class Halving:
    """Genotypes trained alone, rung by rung.

    The updates of candidates are none of what is found: it is trained from its beginning, if only by the last rung.

    Attributes:
        name: of the step, and of the trainings.
        trials: what measures genotypes that are trained alone, given after how many updates.
        macs: of all generators of a genotype, on an image each.
        steps: updates of a whole training; `batch` images each.
        earlier: the trials of all rungs that are over.
    """

    name: str
    space: Space
    trials: Callable[[int], Trials]
    macs: Callable[[Genotype], float]
    steps: int
    batch: int
    earlier: list[Trial] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    _made: dict[int, Trials] = field(default_factory=dict)

    def candidates(self, until: int) -> Trials:
        """What measures genotypes after so many updates; made once, as it hashes all weights."""
        if until not in self._made:
            self._made[until] = self.trials(until)
        return self._made[until]

    def measure(self, genotypes: Sequence[Genotype], until: int, before: int = 0, step: str = "") -> list[Trial]:
        """Train genotypes until so many updates, of which some were done before."""
        candidates, count = self.candidates(until), len(genotypes)
        searcher = Exhaustive(self.space, candidates.objective, candidates.allows, count, genotypes=genotypes)
        trials = candidates.explore(f"{step or self.name}-{until}", searcher, count)
        macs = [self.macs(genotype) for genotype in genotypes]
        self.effort = self.effort.plus(Effort.candidates(macs, until - before, self.batch))
        return trials

    def halve(self, count: int, first: Sequence[Trial]) -> Halved:
        """Let the better half of `count` go on, rung by rung; they are the best of the first rung's trials."""
        (_, before), *others = rungs(count, self.steps)
        last, candidates = list(first), self.candidates(before)
        for remaining, until in others:
            self.earlier += last
            best = leading(last, candidates.objective, remaining)
            if not best:
                raise RunError("one candidate at least must learn", "all diverged", "lower finetune.rate")
            last = self.measure(best, until, before)
            before, candidates = until, self.candidates(until)
        return Halved(last, self.earlier, candidates, self.effort)


def of_supernet(job: Job, supernet: Supernet, clock: Timed, train: Callable[[int], Tuning]) -> Halving:
    """Halving of what is cut out of a supernet, trained or not; `train` is given after how many updates a rung ends."""
    tuning, size = train(1), job.recipe.size

    def trials(until: int) -> Trials:
        return Candidates(job, supernet, clock.predict, clock.margin, train(until))

    def macs(genotype: Genotype) -> float:
        return supernet.cost(genotype, *size).exact

    return Halving(tuning.name, supernet.space, trials, macs, tuning.steps, tuning.schedule.batch)


def halve(
    job: Job, supernet: Supernet, clock: Timed, genotypes: Sequence[Genotype], train: Callable[[int], Tuning]
) -> Halved:
    """Halve genotypes, which are distinct, and within the budget."""
    halving = of_supernet(job, supernet, clock, train)
    (count, until), *_ = rungs(len(genotypes), halving.steps)
    return halving.halve(count, halving.measure(genotypes, until))
