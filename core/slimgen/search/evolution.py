"""Evolutionary search within a budget (CF-GAN, Algorithm 5; also the evolution of GAN Compression)."""

import math
import random
from collections.abc import Iterable, Sequence
from functools import partial

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.direction import DirectionalMutation, ReplacementGains
from slimgen.search.feasible import Allows, Feasible
from slimgen.search.genotype import Genotype
from slimgen.search.searcher import Told
from slimgen.search.space import Space
from slimgen.search.trial import Trial

_PARENTS_TRIED = 4


def select_elite(trials: Iterable[Trial], objective: Objective, size: int) -> list[Trial]:
    """The `size` fittest trials, one per genotype, fittest first; the earlier one among equals.

    What was not measured completely stands behind all that was, whatever its estimate says.
    """
    distinct: dict[Genotype, Trial] = {}
    for trial in trials:
        distinct.setdefault(trial.genotype, trial)
    ranked = sorted(distinct.values(), key=lambda trial: (not trial.complete, -objective.fitness(trial.quality)))
    return ranked[:size]


class Evolution(Told):
    """Each generation is half crossover among the elite, half mutants of the elite, all within the budget.

    The first generation is random. Nothing is asked for twice; where variation finds nothing new, random genotypes
    fill the generation, and where there are none left the search is finished.

    Args:
        space: where to search.
        objective: what is fit.
        allows: whether a genotype is within the budget.
        population: genotypes per generation (N of Algorithm 5).
        elite: how many of the fittest are kept as parents (K).
        rate: probability that mutation changes a dimension (r).
        crossover: the part of a generation that is crossed and not mutated.
        direction: mutates in the direction of replacement gains (Eqs. 14 to 16). After the first generation, the
            allowed single replacements of its best genotype are then asked for as a round of their own.
        anchor: an allowed genotype (see `Feasible`).

    Attributes:
        elite: the fittest trials told so far, fittest first, no genotype twice.
        gains: the replacement gains known so far; None without a direction or before the first generation is told.

    Raises:
        RecipeError: a population or an elite below 1, or a rate or crossover outside of 0 .. 1.
    """

    def __init__(
        self,
        space: Space,
        objective: Objective,
        allows: Allows,
        population: int,
        elite: int,
        rate: float,
        crossover: float = 0.5,
        direction: DirectionalMutation | None = None,
        anchor: Genotype | None = None,
    ) -> None:
        super().__init__(objective)
        if population < 1 or elite < 1:
            raise RecipeError("population and elite are at least 1", f"{population} and {elite}")
        if not (0 <= rate <= 1 and 0 <= crossover <= 1):
            raise RecipeError("rate and crossover are probabilities", f"{rate} and {crossover}")
        self._space, self._feasible = space, Feasible(space, allows, anchor)
        self._population, self._size, self._rate, self._crossover = population, elite, rate, crossover
        self._direction = direction
        self._rounds = 0
        self._parents: dict[Genotype, Genotype] = {}
        self.elite: list[Trial] = []
        self.gains: ReplacementGains | None = None

    @property
    def rival(self) -> Trial | None:
        """Whom a candidate must beat to become a parent: the worst of a full elite; None while there is room.

        Also None where that one was not measured completely, or has no finite quality to compare with.
        """
        if len(self.elite) < self._size:
            return None
        worst = self.elite[-1]
        finite = self.objective.fitness(worst.quality) > -math.inf
        return worst if worst.complete and finite else None

    def ask(self, rng: random.Random) -> list[Genotype]:
        """The next generation; fewer genotypes or none when the space runs out."""
        self._parents = {}
        if not self.elite:
            return self._feasible.sample(rng, set(self.trials), self._population)
        if self.gains is not None and self._rounds == 1 and (replacements := self._single_replacements()):
            return replacements
        return self._generation(rng)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Selects the elite anew and credits the gains of mutants."""
        new = self.add(trials)
        self.elite = select_elite([*self.elite, *new], self.objective, self._size)
        if self.gains is not None:
            for trial in new:
                if trial.genotype in self._parents:
                    self._credit(self._parents[trial.genotype], trial.genotype)
        elif self._direction is not None and self.elite:
            incumbent = self.elite[0].genotype
            self.gains = ReplacementGains(self._space, incumbent, self._direction)
            for neighbour in self._space.neighbours(incumbent):
                if neighbour in self.trials:
                    self._credit(incumbent, neighbour)
        self._rounds += 1

    def _credit(self, parent: Genotype, child: Genotype) -> None:
        assert self.gains is not None
        self.gains.credit(parent, child, self.fitness(child) - self.fitness(parent))

    def _single_replacements(self) -> list[Genotype]:
        incumbent = self.elite[0].genotype
        neighbours = [n for n in self._space.neighbours(incumbent) if n not in self.trials and self._feasible.allows(n)]
        self._parents = dict.fromkeys(neighbours, incumbent)
        return neighbours

    def _generation(self, rng: random.Random) -> list[Genotype]:
        taken = set(self.trials)
        children: list[Genotype] = []
        crossed = round(self._population * self._crossover)
        for wanted, child_of in ((crossed, self._crossed), (self._population, self._mutant)):
            while len(children) < wanted and (child := child_of(rng, taken)) is not None:
                taken.add(child)
                children.append(child)
        return children + self._feasible.sample(rng, taken, self._population - len(children))

    def _crossed(self, rng: random.Random, taken: set[Genotype]) -> Genotype | None:
        if len(self.elite) < 2:
            return None

        def propose() -> Genotype:
            a, b = rng.sample(self.elite, 2)
            return self._space.cross(a.genotype, b.genotype, rng)

        return self._feasible.fresh(rng, taken, propose)

    def _mutant(self, rng: random.Random, taken: set[Genotype]) -> Genotype | None:
        weights = self.gains.probabilities if self.gains is not None else None
        for chosen in rng.sample(self.elite, min(_PARENTS_TRIED, len(self.elite))):
            mutate = partial(self._space.mutate, chosen.genotype, rng, self._rate, weights)
            child = self._feasible.fresh(rng, taken, mutate)
            if child is not None:
                self._parents[child] = chosen.genotype
                return child
        return None
