"""Random search: the yardstick that every other searcher is held against."""

import random
from collections.abc import Sequence

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.feasible import Allows, Feasible
from slimgen.search.genotype import Genotype
from slimgen.search.searcher import Told
from slimgen.search.space import Space
from slimgen.search.trial import Trial


class RandomSearch:
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
        if batch < 1:
            raise RecipeError("a batch has at least one genotype", batch)
        self._feasible = Feasible(space, allows, anchor)
        self._batch = batch
        self._told = Told(objective)

    @property
    def best(self) -> Trial | None:
        """The best trial told so far."""
        return self._told.best

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Up to a batch of new genotypes; fewer or none when the space runs out."""
        return self._feasible.drawn(rng, set(self._told.trials), self._batch)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Takes in the trials."""
        self._told.add(trials)
