"""What every searcher is: it asks for genotypes and is told trials. It neither evaluates, nor loops, nor writes."""

import random
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from slimgen.search.budget import Objective
from slimgen.search.genotype import Genotype
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
