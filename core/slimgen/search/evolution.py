"""Evolutionary search within a budget (CF-GAN, Algorithm 5; also the evolution of GAN Compression).

Directional mutation (CF-GAN, A.5, Eqs. 14 to 16) prefers options that helped before.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from slimgen.errors import RecipeError
from slimgen.search.budget import Objective
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.searcher import Allows, Feasible, Searcher
from slimgen.search.space import Space
from slimgen.search.trial import Trial, best

_PARENTS_TRIED = 4


def select_elite(trials: Iterable[Trial], objective: Objective, size: int) -> list[Trial]:
    """Return the `size` fittest trials, one per genotype, fittest first; among equals the earlier one.

    Trials that were not measured completely rank behind all others, whatever their estimate.
    """
    distinct: dict[Genotype, Trial] = {}
    for trial in trials:
        distinct.setdefault(trial.genotype, trial)
    ranked = sorted(distinct.values(), key=lambda trial: (not trial.complete, -objective.fitness(trial.quality)))
    return ranked[:size]


@dataclass(frozen=True, slots=True)
class DirectionalMutation:
    """The strength with which replacement gains direct the mutation.

    Attributes:
        epsilon: the weight, above 0, that the option of smallest gain keeps, as a fraction of the spread of its
            dimension's gains. Large values approach uniform mutation.
    """

    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise RecipeError("the epsilon of directional mutation must be a positive number", self.epsilon)


class ReplacementGains:
    """The mean gains from replacing options, and the mutation probabilities that follow from them.

    RG(c, l) is the fitness after setting dimension l to option c minus the fitness before (Eq. 14); the incumbent's
    option is the zero of the scale. Gains are first measured by single replacements of the incumbent. After that, each
    mutant's gain over its parent is shared equally among the replaced dimensions, and (its share + the present gain of
    the replaced option) enters the mean: without that second term, a gain over a poor option would outweigh the same
    option's loss against a good one.
    """

    def __init__(self, space: Space, incumbent: Genotype, direction: DirectionalMutation) -> None:
        self.space, self.direction = space, direction
        self._gains: dict[str, dict[Value, tuple[float, int]]] = {
            name: {incumbent[name]: (0.0, 1)} for name in space.active(incumbent)
        }

    def gain(self, name: str, option: Value) -> float | None:
        """Return an option's mean replacement gain; None if it was never measured."""
        return self._gains.get(name, {}).get(option, (None, 0))[0]

    def credit(self, parent: Genotype, child: Genotype, gain: float) -> None:
        """Record a child's gain in fitness over its parent.

        Dimensions that exist in only one of the two changed as a consequence, and get no share. A child without a
        finite fitness (gain -inf) counts as the worst known option of each dimension; a parent without one is ignored.
        """
        if math.isnan(gain) or gain == math.inf:
            return
        both = self.space.active(parent) & self.space.active(child)
        replaced = [name for name in self.space if name in both and parent[name] != child[name]]
        for name in replaced:
            if not isinstance(self.space[name], Choice):
                continue
            known = self._gains.setdefault(name, {parent[name]: (0.0, 1)})
            seen = min(mean for mean, _ in known.values())
            if math.isfinite(gain):
                seen = gain / len(replaced) + known.get(parent[name], (0.0, 0))[0]  # Eq. 14, against the incumbent
            mean, count = known.get(child[name], (0.0, 0))
            known[child[name]] = (mean + (seen - mean) / (count + 1), count + 1)

    def probabilities(self, name: str, genotype: Genotype) -> list[float]:
        """Return the mutation probability of each option of a choice (Eqs. 15 and 16), in the order of its options.

        Eq. 15 as printed subtracts (min + epsilon), which would make the smallest gain negative. It is read here as
        RG - min + epsilon, so that every option keeps a chance. Unmeasured options get the mean gain of the others.
        """
        dimension = self.space[name]
        assert isinstance(dimension, Choice)
        known = [self.gain(name, option) for option in dimension.options]
        means = [gain for gain in known if gain is not None]
        average = sum(means) / len(means) if means else 0.0
        gains = [average if gain is None else gain for gain in known]
        spread = max(gains) - min(gains)
        if spread <= 0:
            return [1 / len(gains)] * len(gains)
        normalised = [gain - min(gains) + self.direction.epsilon * spread for gain in gains]  # Eq. 15
        total = sum(normalised)
        return [value / total for value in normalised]  # Eq. 16


class Evolution(Searcher):
    """Evolutionary search: half of each generation is crossed from the elite, half mutated, all within the budget.

    The first generation is random. No genotype is asked for twice: where variation finds nothing new, random genotypes
    fill the generation, and the search ends when none are left.

    Args:
        space: the space to search.
        objective: the metric that defines fitness.
        allows: whether a genotype is within the budget.
        population: genotypes per generation (N of Algorithm 5).
        elite: number of the fittest that are kept as parents (K).
        rate: probability that mutation changes a dimension (r).
        crossover: share of a generation that comes from crossover; the rest is mutated.
        direction: mutate in the direction of replacement gains. The allowed single replacements of the first
            generation's best genotype are then a separate round after it.
        anchor: as for `Feasible`.

    Attributes:
        elite: the fittest trials so far, fittest first, one per genotype.
        gains: the replacement gains so far; None without a direction or before the first generation is reported.

    Raises:
        RecipeError: a population or an elite below 1, or a rate or crossover outside 0 .. 1.
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
            raise RecipeError("population and elite must be at least 1", f"{population} and {elite}")
        if not (0 <= rate <= 1 and 0 <= crossover <= 1):
            raise RecipeError("rate and crossover must be between 0 and 1", f"{rate} and {crossover}")
        self._space, self._feasible = space, Feasible(space, allows, anchor)
        self._population, self._size, self._rate, self._crossover = population, elite, rate, crossover
        self._direction, self._rounds = direction, 0
        self._parents: dict[Genotype, Genotype] = {}
        self.elite: list[Trial] = []
        self.gains: ReplacementGains | None = None

    @property
    def rival(self) -> Trial | None:
        """The trial that a candidate must beat to become a parent: the worst of a full elite; None while there is room.

        It is also None if that trial was not measured completely or has no finite quality.
        """
        return best(self.elite[-1:], self.objective) if len(self.elite) >= self._size else None

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Return the next generation: fewer genotypes, or none, when the space is exhausted."""
        self._parents = {}
        if not self.elite:
            return self._feasible.sample(rng, set(self.trials), self._population)
        if self.gains is not None and self._rounds == 1 and (replacements := self._single_replacements()):
            return replacements
        return self._generation(rng)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Select the new elite and credit the mutants' gains."""
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
