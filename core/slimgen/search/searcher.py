"""What every searcher is, the part of a space that a budget allows, and exhaustive and random search."""

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
    """A function of how it was made, the generators it was given and what it was told: nothing else.

    So telling the same trials again, after the same questions, leads to the same questions.

    Attributes:
        trials: those told, once per genotype, in order.
        best: the best trial told so far; None before there is one of finite quality.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.trials: dict[Genotype, Trial] = {}
        self.best: Trial | None = None

    @property
    def rival(self) -> Trial | None:
        """The trial that decides: whoever surely stays behind it need not be measured to the end. None: measure all."""
        return None

    @abstractmethod
    def ask(self, rng: random.Random) -> list[Genotype]:
        """Distinct genotypes to evaluate next, all within the budget and none told before; empty: finished."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Takes in what was measured of the genotypes asked for, or of the first of them."""
        self.add(trials)

    def add(self, trials: Sequence[Trial]) -> list[Trial]:
        """Keeps the trials of new genotypes and returns them."""
        new = []
        for trial in trials:
            if trial.genotype not in self.trials:
                self.trials[trial.genotype] = trial
                new.append(trial)
        self.best = best([self.best, *new] if self.best else new, self.objective)
        return new

    def fitness(self, genotype: Genotype) -> float:
        """The fitness of a told genotype."""
        return self.objective.fitness(self.trials[genotype].quality)


class Feasible:
    """The part of a space that a budget allows.

    Genotypes are repaired towards an anchor that is allowed: what `budget.require_reachable` returns, or the smallest
    of the space where none is given.
    """

    def __init__(self, space: Space, allows: Allows, anchor: Genotype | None = None) -> None:
        self.space = space
        self.allows = allows
        self.anchor = space.smallest() if anchor is None else anchor
        self._listed: list[Genotype] | None = None

    def fresh(
        self, rng: random.Random, taken: Container[Genotype], propose: Callable[[], Genotype] | None = None
    ) -> Genotype | None:
        """An allowed genotype that is not in `taken`, from `propose` (default: uniform); None if none was found.

        What is proposed over the budget is rejected; every fifth such proposal is repaired instead, so that a budget
        of a small part of the space costs some tens of calls of `allows` and not thousands.
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
        """Up to `count` distinct, allowed genotypes outside of `taken`, which they join. Fewer: no more were found.

        A space of at most 20,000 genotypes is really exhausted by this: where sampling finds nothing, it is listed.
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
        """The first allowed genotype, found by bisection, on a random path from this one to the anchor.

        Along it, dimensions in random order go one option at a time towards the anchor's (a mask loses one random
        filter at a time). None if not even the anchor is allowed.
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
        """The start of a path, and its moves. Parents go over in one move: what hangs on them is then always valid."""
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
    """The values between `start` and `end`, and `end`."""
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
    """Asks for a batch of allowed genotypes at a time, in the order of `Space.enumerate` or in one that is given.

    Args:
        space: where to search.
        objective: what is best.
        allows: whether a genotype is within the budget.
        batch: how many genotypes to ask for at a time.
        genotypes: the distinct ones to ask for instead of all; taken one by one as they are needed.

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
            raise RecipeError("a batch has at least one genotype", batch)
        self._allowed = filter(allows, space.enumerate() if genotypes is None else genotypes)
        self._batch = batch
        self._pending: list[Genotype] = []

    def ask(self, rng: random.Random) -> list[Genotype]:
        """The next batch; what was asked for and not told yet comes first."""
        self._pending += itertools.islice(self._allowed, self._batch - len(self._pending))
        return list(self._pending)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Takes in the trials."""
        self.add(trials)
        self._pending = [genotype for genotype in self._pending if genotype not in self.trials]


class RandomSearch(Searcher):
    """Asks for distinct random genotypes within the budget until none is left.

    Arguments and errors as of `Exhaustive`; `anchor` as of `Feasible`.
    """

    def __init__(
        self, space: Space, objective: Objective, allows: Allows, batch: int, anchor: Genotype | None = None
    ) -> None:
        super().__init__(objective)
        if batch < 1:
            raise RecipeError("a batch has at least one genotype", batch)
        self._feasible, self._batch = Feasible(space, allows, anchor), batch

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Up to a batch of new genotypes; fewer or none when the space runs out."""
        return self._feasible.sample(rng, set(self.trials), self._batch)
