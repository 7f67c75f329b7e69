"""Genetic search over one generator's masks, from pruned generators that are already good (Shu et al. 2019)."""

import math
import random
from collections.abc import Sequence

from slimgen.methods.co_evolution.roulette import Population
from slimgen.search import Genotype, Objective, Searcher, Trial

_TRIES = 64  # generations without anything new, after which the search ends
_SPREAD, _SHARES = 0.5, 0.15


class Generations(Searcher):
    """Generations of one population, of which the first has the given masks and random changes of them.

    The paper draws its first generation at random. Under a budget that keeps half of a network, masks drawn at random
    are far worse than those of a ranking, and a search of a few hundred evaluations never makes up for it. Every
    individual is filled up to the budget, since a smaller one is hardly ever better.

    Args:
        population: the space, the budget and the odds.
        objective: the distance to minimise; the roulette wheel takes its inverse.
        orders: rankings of the filters by dimension, best first; the first generation keeps about the first of each.
        begin: the masks that the search begins with.
    """

    def __init__(
        self,
        population: Population,
        objective: Objective,
        orders: Sequence[dict[str, list[int]]],
        begin: Sequence[Genotype],
    ) -> None:
        super().__init__(objective)
        self._population, self._orders, self._begin = population, orders, tuple(begin)
        self._generation: tuple[Genotype, ...] = ()

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Return the individuals of the next generation that have not been measured yet; none if there are no new."""
        for _ in range(_TRIES):
            self._generation = tuple(self._bred(rng) if self.trials else self._first(rng))
            if asked := [one for one in dict.fromkeys(self._generation) if one not in self.trials]:
                return asked
        return []

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in the trials of a generation."""
        self.add(trials)

    def _bred(self, rng: random.Random) -> list[Genotype]:
        known = [one for one in self._generation if one in self.trials] or list(self.trials)
        if self.best is not None and self.best.genotype not in known:
            known.append(self.best.genotype)
        fitness = [self._inverse(one) for one in known]
        return [self._population.filled(one, rng) for one in self._population.breed(known, fitness, rng)]

    def _inverse(self, genotype: Genotype) -> float:
        value = -self.fitness(genotype)  # the distance, infinity where the candidate failed
        return 1 / max(value, 1e-12) if math.isfinite(value) else 0.0

    def _first(self, rng: random.Random) -> list[Genotype]:
        found = list(self._begin)
        for number in range(self._population.size - len(found)):
            order = self._orders[number % len(self._orders)]
            begun = self._begin[number % len(self._begin)]
            genomes = self._population.settled([changed(begun, order, rng)], rng)
            found += [self._population.filled(one, rng) for one in genomes]
        return found


def changed(genotype: Genotype, orders: dict[str, list[int]], rng: random.Random) -> str:
    """Return a genome that keeps about as many filters of each layer, about the first of an order."""
    bits = []
    for name, order in orders.items():
        length = len(order)
        share = str(genotype[name]).count("1") / length * math.exp(rng.gauss(0, _SHARES))
        places = {place: rank / length + rng.gauss(0, _SPREAD / 4) for rank, place in enumerate(order)}
        stay = set(sorted(places, key=lambda place: places[place])[: max(1, round(share * length))])
        bits.append("".join("1" if place in stay else "0" for place in range(length)))
    return "".join(bits)
