"""Successive halving (Jamieson and Talwalkar 2016): networks trained alone, of which the better half goes on.

Random architectures searched so are what one-shot searches of supernets seldom beat (Li and Talwalkar 2019).
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from statistics import mean
from typing import NamedTuple

from torch import nn

from slimgen.errors import BudgetError, RunError
from slimgen.methods.candidates import Candidates
from slimgen.methods.drawn import drawn_within
from slimgen.methods.effort import PASSES, Effort
from slimgen.methods.latency import Timed
from slimgen.methods.method import Found
from slimgen.methods.tuning import Opponent, Tuning
from slimgen.nets.supernet import Supernet
from slimgen.search import Budget, Exhaustive, Genotype, Space, Trial, leading
from slimgen.search.predictor import Predictor
from slimgen.tasks.task import Job
from slimgen.training.distributed import first

_PROPOSED = 8  # at a time: what they turned out to be is known when the next are proposed
_MUTATIONS, _RATE = 2_000, 0.15


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
    """The updates of all rungs together, and of the winner, which is trained again from its beginning."""
    done, before = 0, 0
    for networks, until in rungs(count, steps):
        done, before = done + networks * (until - before), until
    return done + steps


def measurements(count: int, proposed: int, parts: int = 1) -> int:
    """How many networks all rungs of the search measure together, at most."""
    each = max(2, count // parts) if parts > 1 else 0
    later = sum(networks for networks, _ in rungs(count, 2 * count)[1:])
    return each * parts + max(0, count - each) + proposed + later


def affordable(effort: Effort, steps: int, batch: int, macs: float, most: int = 64) -> int:
    """The most networks, of so many MACs an image each, whose halving takes no more MACs than an effort; at least 2."""
    count = 2
    while count < most and PASSES * macs * batch * updates(2 * count, steps) <= effort.macs:
        count *= 2
    return count


@dataclass
class Halving:
    """Genotypes trained alone, on the weights that they inherit from a supernet, trained or not.

    The updates of candidates are none of what is found, which is trained from its beginning afterwards.

    Attributes:
        train: the training of a rung, given after how many updates it ends.
        earlier: the trials of all rungs that are over.
    """

    job: Job
    supernet: Supernet
    clock: Timed
    train: Callable[[int], Tuning]
    earlier: list[Trial] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    _made: dict[int, Candidates] = field(default_factory=dict)

    def candidates(self, until: int) -> Candidates:
        """What measures genotypes after so many updates; made once, as it hashes all weights."""
        if until not in self._made:
            clock, tuning = self.clock, self.train(until)
            self._made[until] = Candidates(self.job, self.supernet, clock.predict, clock.margin, tuning)
        return self._made[until]

    def measure(self, genotypes: Sequence[Genotype], until: int, before: int = 0, step: str = "") -> list[Trial]:
        """Trains genotypes until so many updates, of which some were done before."""
        candidates, size = self.candidates(until), self.job.recipe.size
        count, tuning = len(genotypes), self.train(until)
        searcher = Exhaustive(self.supernet.space, candidates.objective, candidates.allows, count, genotypes=genotypes)
        trials = candidates.explore(f"{step or tuning.name}-{until}", searcher, count)
        macs = [self.supernet.cost(genotype, *size).exact for genotype in genotypes]
        self.effort = self.effort.plus(Effort.candidates(macs, until - before, tuning.schedule.batch))
        return trials

    def halve(self, count: int, first: Sequence[Trial]) -> Halved:
        """Lets the better half of `count` go on, rung by rung; they are the best of the first rung's trials."""
        (_, before), *others = rungs(count, self.train(1).steps)
        last, candidates = list(first), self.candidates(before)
        for remaining, until in others:
            self.earlier += last
            best = leading(last, candidates.objective, remaining)
            if not best:
                raise RunError("one candidate at least must learn", "all diverged", "lower finetune.rate")
            last = self.measure(best, until, before)
            before, candidates = until, self.candidates(until)
        return Halved(last, self.earlier, candidates, self.effort)


def halve(
    job: Job, supernet: Supernet, clock: Timed, genotypes: Sequence[Genotype], train: Callable[[int], Tuning]
) -> Halved:
    """Halves genotypes, which are distinct, and within the budget."""
    halving = Halving(job, supernet, clock, train)
    (count, until), *_ = rungs(len(genotypes), train(1).steps)
    return halving.halve(count, halving.measure(genotypes, until))


def search_alone(
    job: Job,
    supernet: Supernet,
    parts: Sequence[Space],
    clock: Timed,
    counts: tuple[int, int],
    oppose: Callable[[Genotype, nn.Module], Opponent],
) -> Found:
    """The search `halving`: genotypes within the budget, trained alone as what it finds will be.

    The first rung measures random ones, then some that a predictor proposes, a few at a time. Where the space comes in
    parts, such as CF-GAN's paths, a few of each part are measured first, and all others are of the one that is best on
    average. `counts` are of random genotypes, and of proposed ones.
    """
    schedule, (count, proposed), seed = job.recipe.finetune, counts, f"{job.recipe.seed}"
    steps, costs = schedule.steps(len(job.data.split("train"))), partial(clock.costs, job, supernet)

    def rung(until: int) -> Tuning:
        return Tuning(job, "halving", schedule, steps, oppose, until, kept=True)

    halving, until = Halving(job, supernet, clock, rung), rungs(count, steps)[0][1]
    fitness, space, trials = halving.candidates(until).objective.fitness, parts[0], list[Trial]()
    if len(parts) > 1:
        each = max(2, count // len(parts))
        # By the first process, which knows the milliseconds.
        drawn = first(partial(within_reach, parts, costs, clock.budget(job), each, seed))
        measured = halving.measure([genotype for some in drawn.values() for genotype in some], until, step="parts")
        of = {trial.genotype: trial for trial in measured}
        # By what did not diverge: one that did says nothing of the others.
        learned = {n: [v for one in some if math.isfinite(v := fitness(of[one].quality))] for n, some in drawn.items()}
        best = max(drawn, key=lambda number: mean(learned[number]) if learned[number] else -math.inf)
        space, trials = parts[best], [of.pop(genotype) for genotype in drawn[best]]
        halving.earlier = list(of.values())
    known = {trial.genotype for trial in trials}
    drawn_more = first(lambda: drawn_within(space, costs, clock.budget(job), count, seed, least=1))
    more = [genotype for genotype in drawn_more if genotype not in known][: count - len(trials)]
    trials = [*trials, *(halving.measure(more, until) if more else [])]
    for done in range(0, proposed, _PROPOSED):
        seen = {trial.genotype: fitness(trial.quality) for trial in trials}
        few = min(_PROPOSED, proposed - done)
        new = first(partial(proposals, space, costs, clock.budget(job), seen, few, seed))
        trials = [*trials, *(halving.measure(new, until, step=f"proposed{done}") if new else [])]
    halved = halving.halve(count, trials)
    facts = {"space_size": float(sum(part.size for part in parts)), **halved.effort.facts(), **clock.facts}
    accepts = clock.accepts(job.recipe.budget.latency_ms, facts)
    return halved.candidates.found(halved.last, facts, halved.earlier, accepts)


def within_reach(
    parts: Sequence[Space], costs: Callable[[Genotype], Mapping[str, float]], budget: Budget, each: int, seed: str
) -> dict[int, list[Genotype]]:
    """A few random genotypes of each part of a space, by its number; of parts that have any within the budget."""
    found: dict[int, list[Genotype]] = {}
    for number, part in enumerate(parts):
        with suppress(BudgetError):
            found[number] = drawn_within(part, costs, budget, each, f"{seed}/{number}", least=1)
    if not found:
        rule, hint = "a genotype within the budget", "raise the budget"
        raise BudgetError(rule, f"none in any of {len(parts)} parts of the space", hint)
    return found


def proposals(
    space: Space,
    costs: Callable[[Genotype], Mapping[str, float]],
    budget: Budget,
    seen: Mapping[Genotype, float],
    count: int,
    seed: str,
) -> list[Genotype]:
    """New genotypes within the budget of which a predictor expects most: mutations of the better half of those seen."""
    rng, predictor = random.Random(f"{seed}/proposals/{len(seen)}"), Predictor(space, costs, seen)
    parents = sorted(seen, key=lambda genotype: -seen[genotype])[: math.ceil(len(seen) / 2)]
    found: dict[Genotype, None] = {}
    for _ in range(_MUTATIONS):
        genotype = space.mutate(rng.choice(parents), rng, _RATE)
        if genotype not in seen and budget.allows(costs(genotype)):
            found[genotype] = None
    expected = dict(zip(found, predictor.predict(list(found)), strict=True)) if found else {}
    return sorted(expected, key=lambda genotype: -expected[genotype])[:count]
