"""Exhaustive search: every genotype within the budget, once."""

import itertools
import random
from collections.abc import Iterable, Sequence

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.feasible import Allows
from slimgen.search.genotype import Genotype
from slimgen.search.searcher import Told
from slimgen.search.space import Space
from slimgen.search.trial import Trial


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
