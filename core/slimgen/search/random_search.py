"""Random search: the yardstick that every other searcher is held against."""

import random

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.feasible import Allows, Feasible
from slimgen.search.genotype import Genotype
from slimgen.search.searcher import Told
from slimgen.search.space import Space


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
