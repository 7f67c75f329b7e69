"""The interface of searchers, the part of a space within a budget, and exhaustive and random search."""

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Sequence

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space
from slimgen.search.trial import Trial, best

Allows = Callable[[Genotype], bool]
_TRIES = 30
_REPAIR_EVERY = 5
_LISTED = 20_000


class Searcher(ABC):
    """A search algorithm as a pure function of its arguments, its random generators and the trials it is told.

    Replaying the same calls of `ask` and `tell` therefore gives the same genotypes.

    Attributes:
        trials: the trials so far, one per genotype, in order.
        best: the best trial so far; None before there is one of finite quality.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.trials: dict[Genotype, Trial] = {}
        self.best: Trial | None = None

    @property
    def rival(self) -> Trial | None:
        """The trial to beat: a candidate certain to stay behind it may be stopped early. None: measure all fully."""
        return None

    @abstractmethod
    def ask(self, rng: random.Random) -> list[Genotype]:
        """Return distinct new genotypes within the budget to evaluate next; an empty list ends the search."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in the trials of the genotypes asked for, or of the first of them."""
        self.add(trials)

    def add(self, trials: Sequence[Trial]) -> list[Trial]:
        """Keep the trials of new genotypes and return them."""
        new = []
        for trial in trials:
            if trial.genotype not in self.trials:
                self.trials[trial.genotype] = trial
                new.append(trial)
        self.best = best([self.best, *new] if self.best else new, self.objective)
        return new

    def fitness(self, genotype: Genotype) -> float:
        """Return the fitness of a genotype among the trials."""
        return self.objective.fitness(self.trials[genotype].quality)


class Feasible:
    """The part of a space within a budget.

    Genotypes over the budget are repaired towards an anchor within it: the genotype from `budget.require_reachable`,
    or the space's smallest where none is given.
    """

    def __init__(self, space: Space, allows: Allows, anchor: Genotype | None = None) -> None:
        self.space = space
        self.allows = allows
        self.anchor = space.smallest() if anchor is None else anchor
        self._listed: list[Genotype] | None = None

    def fresh(
        self, rng: random.Random, taken: Container[Genotype], propose: Callable[[], Genotype] | None = None
    ) -> Genotype | None:
        """Return an allowed genotype that is not in `taken`, from `propose` (default: uniform); None if none was found.

        Proposals over the budget are rejected, but every fifth of them is repaired instead: where the budget allows
        only a small part of the space, this takes some tens of calls of `allows` instead of thousands.
        """
        refused = 0
        for _ in range(_TRIES):
            candidate = self.space.sample(rng) if propose is None else propose()
            if candidate in taken:
                continue
            if self.allows(candidate):
                return candidate
            refused += 1
            repaired = self.repair(candidate, rng) if refused % _REPAIR_EVERY == 0 else None
            if repaired is not None and repaired not in taken:
                return repaired
        return None

    def sample(self, rng: random.Random, taken: set[Genotype], count: int) -> list[Genotype]:
        """Return up to `count` distinct allowed genotypes that are not in `taken`, and add them to it.

        A space of at most 20,000 genotypes is really exhausted: where sampling finds nothing new, it is enumerated.
        """
        sampled: list[Genotype] = []
        while len(sampled) < count:
            genotype = self.fresh(rng, taken)
            if genotype is None and (genotype := self._remaining(rng, taken)) is None:
                break
            taken.add(genotype)
            sampled.append(genotype)
        return sampled

    def repair(self, genotype: Genotype, rng: random.Random) -> Genotype | None:
        """Return the first allowed genotype, found by bisection, on a random path from this one to the anchor.

        Along the path, dimensions in random order move one option at a time towards the anchor's (a mask loses one
        random filter at a time). None if not even the anchor is allowed.
        """
        values, moves = self._path(genotype, rng)
        if not self.allows(self.anchor):
            return None
        low, high, repaired = 0, len(moves), self.anchor
        while high - low > 1:
            middle = (low + high) // 2
            candidate = self.space.settle({**values, **dict(moves[:middle])})
            if self.allows(candidate):
                high, repaired = middle, candidate
            else:
                low = middle
        return repaired

    def _path(self, genotype: Genotype, rng: random.Random) -> tuple[dict[str, Value], list[tuple[str, Value]]]:
        """Return the start of a path, and its moves. Parents change in one move, so their children stay valid."""
        here, there = self.space.active(genotype), self.space.active(self.anchor)
        parents = {parent for parent, _ in self.space.conditions.values()}
        values = {name: genotype[name] if name in here else self.anchor[name] for name in self.space}
        stations: dict[str, list[Value]] = {}
        for name in self.space:
            start, end = values[name], self.anchor[name]
            if name in there and start != end:
                stations[name] = [end] if name in parents else _stations(self.space[name], start, end, rng)
        order = [name for name, sequence in stations.items() for _ in sequence]
        rng.shuffle(order)
        moving = {name: iter(sequence) for name, sequence in stations.items()}
        return values, [(name, next(moving[name])) for name in order]

    def _remaining(self, rng: random.Random, taken: Container[Genotype]) -> Genotype | None:
        if self._listed is None:
            small = self.space.size <= _LISTED
            self._listed = [genotype for genotype in self.space.enumerate() if self.allows(genotype)] if small else []
        rest = [genotype for genotype in self._listed if genotype not in taken]
        return rng.choice(rest) if rest else None


def _stations(dimension: Dimension, start: Value, end: Value, rng: random.Random) -> list[Value]:
    """Return the values between `start` and `end`, and `end`."""
    if isinstance(dimension, Choice):
        first, last = dimension.index(start), dimension.index(end)
        step = 1 if last > first else -1
        return [dimension.options[position] for position in range(first + step, last + step, step)]
    bits, masks = list(str(start)), []
    ones = [position for position, bit in enumerate(bits) if bit == "1"]
    for position in rng.sample(ones, max(len(ones) - str(end).count("1"), 0)):
        bits[position] = "0"
        masks.append("".join(bits))
    return [*masks, end]


class Exhaustive(Searcher):
    """Exhaustive search: all allowed genotypes, a batch at a time, in the order of `Space.enumerate` or a given one.

    Args:
        space: the space to search.
        objective: the metric to improve.
        allows: whether a genotype is within the budget.
        batch: the number of genotypes to ask for at a time.
        genotypes: distinct genotypes to ask for instead of all; consumed lazily.

    Raises:
        RecipeError: a batch below 1.
    """

    def __init__(
        self,
        space: Space,
        objective: Objective,
        allows: Allows,
        batch: int,
        genotypes: Iterable[Genotype] | None = None,
    ) -> None:
        super().__init__(objective)
        if batch < 1:
            raise RecipeError("a batch must have at least one genotype", batch)
        self._allowed = filter(allows, space.enumerate() if genotypes is None else genotypes)
        self._batch = batch
        self._pending: list[Genotype] = []

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Return the next batch; genotypes whose trials are still missing come first."""
        self._pending += itertools.islice(self._allowed, self._batch - len(self._pending))
        return list(self._pending)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in the trials."""
        self.add(trials)
        self._pending = [genotype for genotype in self._pending if genotype not in self.trials]


class RandomSearch(Searcher):
    """Random search: distinct random genotypes within the budget until none is left.

    Arguments and errors as for `Exhaustive`; `anchor` as for `Feasible`.
    """

    def __init__(
        self, space: Space, objective: Objective, allows: Allows, batch: int, anchor: Genotype | None = None
    ) -> None:
        super().__init__(objective)
        if batch < 1:
            raise RecipeError("a batch must have at least one genotype", batch)
        self._feasible, self._batch = Feasible(space, allows, anchor), batch

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Return up to a batch of new genotypes: fewer, or none, when the space is exhausted."""
        return self._feasible.sample(rng, set(self.trials), self._batch)
