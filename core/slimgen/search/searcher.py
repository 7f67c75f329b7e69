"""What every searcher is, and the two plain ones: exhaustive and random search."""

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.feasible import Allows, Feasible
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space
from slimgen.search.trial import Trial, best


class Searcher(Protocol):
    """A searcher is a function of how it was made, the generators it was given and what it was told: nothing else.

    So telling the same trials again, after the same questions, leads to the same questions.
    """

    @property
    def best(self) -> Trial | None:
        """The best trial told so far; None before there is one of finite quality."""

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Distinct genotypes to evaluate next, all within the budget and none told before; empty: finished."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Takes in what was measured of the genotypes asked for, or of the first of them."""


@runtime_checkable
class Selective(Searcher, Protocol):
    """A searcher for which a candidate that is surely worse than one it knows need not be measured to the end."""

    @property
    def rival(self) -> Trial | None:
        """The trial that decides: whoever stays behind it changes nothing. None: measure all."""


class Told:
    """The memory of a searcher: the trials it was told, once per genotype, in order.

    Attributes:
        objective: what is best.
        trials: by genotype.
        best: the best trial told so far; None before there is one of finite quality.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.trials: dict[Genotype, Trial] = {}
        self.best: Trial | None = None

    def add(self, trials: Sequence[Trial]) -> list[Trial]:
        """Keeps the trials of new genotypes and returns them."""
        new = []
        for trial in trials:
            if trial.genotype not in self.trials:
                self.trials[trial.genotype] = trial
                new.append(trial)
        self.best = best([self.best, *new] if self.best else new, self.objective)
        return new

    def tell(self, trials: Sequence[Trial]) -> None:
        """Takes in what was measured of the genotypes asked for, or of the first of them."""
        self.add(trials)

    def fitness(self, genotype: Genotype) -> float:
        """The fitness of a told genotype."""
        return self.objective.fitness(self.trials[genotype].quality)


class Exhaustive(Told):
    """Asks for every allowed genotype of a space, in the order of `Space.enumerate` or in one that is given.

    Args:
        space: where to search.
        objective: what is best.
        allows: whether a genotype is within the budget.
        batch: how many genotypes to ask for at a time.
        genotypes: to ask for instead of all, distinct, in this order; taken one by one as they are needed.

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


class RandomSearch(Told):
    """Asks for distinct random genotypes within the budget until none is left.

    Args:
        space: where to search.
        objective: what is best.
        allows: whether a genotype is within the budget.
        batch: how many genotypes to ask for at a time.
        anchor: an allowed genotype (see `Feasible`).

    Raises:
        RecipeError: a batch below 1.
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
