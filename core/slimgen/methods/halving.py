"""Successive halving (Jamieson and Talwalkar 2016): networks are trained by themselves, and the better half continues.

One-shot searches of supernets seldom beat such a random search (Li and Talwalkar 2019).
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
    """The result of successive halving: the trials of the last rung, the earlier ones, and the effort of all."""

    last: list[Trial]
    earlier: list[Trial]
    candidates: Trials
    effort: Effort

    @property
    def winner(self) -> Trial:
        """The best of the last rung."""
        return self.candidates.best(self.last)


def rungs(count: int, steps: int) -> list[tuple[int, int]]:
    """Return each rung's number of networks, and the number of updates that each has had by the rung's end.

    The last rung has two networks (one if `count` is 1), trained to the end, which takes `steps` updates.
    """
    found: list[tuple[int, int]] = []
    before = 0
    while (count > 1 or not found) and before < steps:
        before = min(steps, max(before + 1, 2 * steps // max(2, count)))
        found.append((count, before))
        count = math.ceil(count / 2)
    return found


def updates(count: int, steps: int) -> int:
    """Return the updates of all rungs together and of the winner, which is then trained again from scratch."""
    done, before = 0, 0
    for networks, until in rungs(count, steps):
        done, before = done + networks * (until - before), until
    return done + steps


def of_each(count: int, parts: int) -> int:
    """Return how many of `count` random networks are measured in each part of a space before one part is chosen.

    0 if there are fewer than two for each part: then all are drawn from the first part, which is the whole space.
    """
    return count // parts if parts > 1 and count >= 2 * parts else 0


def first_rung(count: int, proposed: int, parts: int = 1) -> int:
    """Return the largest number of networks that the first rung of the search measures."""
    each = of_each(count, parts)
    return each * parts + count - each + proposed


def measurements(count: int, proposed: int, parts: int = 1) -> int:
    """Return the largest number of networks that all rungs of the search measure together."""
    later = sum(networks for networks, _ in rungs(count, 2 * count)[1:])
    return first_rung(count, proposed, parts) + later


def pictures(counts: tuple[int, int], steps: int, batch: int, parts: int = 1) -> int:
    """Return the largest number of pictures that all networks of all rungs are trained on."""
    (_, before), *others = rungs(counts[0], steps)
    learned = first_rung(*counts, parts) * before
    for networks, until in others:
        learned, before = learned + networks * (until - before), until
    return learned * batch


def affordable(effort: Effort, steps: int, batch: int, macs: float, most: int = 64) -> int:
    """Return how many networks of `macs` per image can be halved with the MACs of an effort: at least 2."""
    count = 2
    while count < most and PASSES * macs * batch * updates(2 * count, steps) <= effort.macs:
        count *= 2
    return count


@dataclass
class Halving:
    """Successive halving of genotypes, each trained by itself, rung by rung.

    The updates of candidates do not count as the found generator's, which is trained from scratch.

    Attributes:
        name: the name of the search's step and of the trainings.
        trials: a function from a number of updates to the trials of genotypes trained for that many.
        macs: maps a genotype to the MACs of all its generators, on one image each.
        steps: updates of a whole training.
        batch: images per update.
        earlier: the trials of all finished rungs.
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
        """Return the trials of genotypes after so many updates; created once, since that hashes all weights."""
        if until not in self._made:
            self._made[until] = self.trials(until)
        return self._made[until]

    def measure(self, genotypes: Sequence[Genotype], until: int, before: int = 0, step: str = "") -> list[Trial]:
        """Train genotypes up to `until` updates, `before` of which are done already, and measure them."""
        candidates, count = self.candidates(until), len(genotypes)
        searcher = Exhaustive(self.space, candidates.objective, candidates.allows, count, genotypes=genotypes)
        trials = candidates.explore(f"{step or self.name}-{until}", searcher, count)
        macs = [self.macs(genotype) for genotype in genotypes]
        self.effort = self.effort.plus(Effort.candidates(macs, until - before, self.batch))
        return trials

    def halve(self, count: int, first: Sequence[Trial]) -> Halved:
        """Continue with the better half, rung by rung, starting from the `count` networks of the first rung."""
        (_, before), *others = rungs(count, self.steps)
        last, candidates = list(first), self.candidates(before)
        for remaining, until in others:
            self.earlier += last
            best = leading(last, candidates.objective, remaining)
            if not best:
                raise RunError("all candidates diverged in training", None, "lower finetune.rate")
            last = self.measure(best, until, before)
            before, candidates = until, self.candidates(until)
        return Halved(last, self.earlier, candidates, self.effort)


def of_supernet(job: Job, supernet: Supernet, clock: Timed, train: Callable[[int], Tuning]) -> Halving:
    """Return the halving of a supernet's sub-networks; `train` maps a rung's last update to its training."""
    tuning, size = train(1), job.recipe.size

    def trials(until: int) -> Trials:
        return Candidates(job, supernet, clock.predict, clock.margin, train(until))

    def macs(genotype: Genotype) -> float:
        return supernet.cost(genotype, *size).exact

    return Halving(tuning.name, supernet.space, trials, macs, tuning.steps, tuning.schedule.batch)


def halve(
    job: Job, supernet: Supernet, clock: Timed, genotypes: Sequence[Genotype], train: Callable[[int], Tuning]
) -> Halved:
    """Halve genotypes, which must be distinct and within the budget."""
    halving = of_supernet(job, supernet, clock, train)
    (count, until), *_ = rungs(len(genotypes), halving.steps)
    return halving.halve(count, halving.measure(genotypes, until))
