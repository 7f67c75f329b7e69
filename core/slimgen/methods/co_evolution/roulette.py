"""Genetic search over masks: two populations, each evaluated with the other's best (Shu et al. 2019, Algorithm 1)."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from slimgen.errors import RecipeError
from slimgen.methods.co_evolution.pressure import Pressure, probabilities
from slimgen.search import Allows, Choice, Feasible, Genotype, Mask, Objective, Searcher, Space, Trial, Value

TURNS = ("a", "b")
"""The two populations: the forward direction's and the reverse direction's."""
TURN = "turn"
"""The dimension of the joined space that names the individual of a pair that is evaluated; the other is its partner."""


class Odds(NamedTuple):
    """The probabilities of the operations that produce an offspring; they sum to 1.

    Attributes:
        selection: of a copy of a parent.
        crossover: of a parent with a segment of another parent.
        mutation: of a parent with the bits of a segment flipped.
    """

    selection: float = 0.2
    crossover: float = 0.7
    mutation: float = 0.1

    def require_whole(self) -> None:
        """Raise ValueError unless they sum to 1."""
        if abs(sum(self) - 1) > 1e-9:
            raise ValueError("'selection', 'crossover' and 'mutation' must sum to 1")


PUBLISHED = Odds()  # from the published code; the paper gives none
Start = Literal["bernoulli", "layers"]


class Population:
    """A population of individuals of one space of masks, which it draws and breeds.

    A genome is the sequence of all masks, so that a segment may span several layers. An empty layer gets the filters of
    `anchor`; an individual over the budget loses random filters until it is within.

    Args:
        space: a space whose dimensions are all masks.
        allows: whether a genotype is within the budget.
        anchor: an allowed genotype with as few filters as possible: the strongest of every layer.
        size: number of individuals in a generation (K).
        odds: the probabilities of the operations that produce an offspring.
        pressure: how fitnesses decide who becomes a parent; see `probabilities`.
        start: the first generation's bits: `bernoulli` sets each with probability 1/2; `layers` with a probability
            drawn anew for every mask of every individual, so that individuals differ in shape.

    Raises:
        RecipeError: a dimension that is not a mask, fewer than two individuals, or odds that are not probabilities.
    """

    def __init__(
        self,
        space: Space,
        allows: Allows,
        anchor: Genotype,
        size: int,
        odds: Odds = PUBLISHED,
        pressure: Pressure = "roulette",
        start: Start = "bernoulli",
    ) -> None:
        if any(not isinstance(dimension, Mask) for dimension in space.values()):
            raise RecipeError("a genetic search over bits needs a space of masks", repr(space))
        if size < 2:
            raise RecipeError("a population must have at least two individuals", size)
        if min(odds) < 0 or not math.isclose(sum(odds), 1):
            raise RecipeError("selection, crossover and mutation must be probabilities that sum to 1", tuple(odds))
        self.space, self.size, self.odds = space, size, odds
        self._pressure, self._start = pressure, start
        self._feasible = Feasible(space, allows, anchor)

    def draw(self, rng: random.Random) -> list[Genotype]:
        """Draw a first generation; empty if the budget allows nothing."""
        if self._start == "layers":
            return self.settled([self._shape(rng) for _ in range(self.size)], rng)
        length = len(self._bits(self.space.largest()))
        return self.settled([f"{rng.getrandbits(length):0{length}b}" if length else "" for _ in range(self.size)], rng)

    def _shape(self, rng: random.Random) -> str:
        """Draw a genome, each layer with a density of its own."""
        genome = ""
        for bits in self.space.largest().values():
            density = rng.random()
            genome += "".join("1" if rng.random() < density else "0" for _ in str(bits))
        return genome

    def breed(self, parents: Sequence[Genotype], fitness: Sequence[float], rng: random.Random) -> list[Genotype]:
        """Return the next generation: the fittest unchanged, then offspring of parents drawn by their fitness."""
        if not parents:
            return []
        weights = probabilities(fitness, self._pressure)
        bits = [self._bits(parent) for parent in parents]
        fittest = bits[weights.index(max(weights))]
        return self.settled([fittest, *(self._child(bits, weights, rng) for _ in range(self.size - 1))], rng)

    def _child(self, parents: Sequence[str], weights: Sequence[float], rng: random.Random) -> str:
        operation = rng.random()
        first = rng.choices(parents, weights)[0]
        if operation < self.odds.selection or not first:
            return first
        start, end = sorted(rng.sample(range(len(first) + 1), 2))
        if operation < self.odds.selection + self.odds.crossover:
            inside = rng.choices(parents, weights)[0][start:end]
        else:
            inside = first[start:end].translate({48: "1", 49: "0"})
        return first[:start] + inside + first[end:]

    def _bits(self, genotype: Genotype) -> str:
        return "".join(str(genotype[name]) for name in self.space)

    def allows(self, genotype: Genotype) -> bool:
        """Return whether a genotype is within the budget."""
        return self._feasible.allows(genotype)

    def filled(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Return a genotype with filters added at random places, as long as the budget allows."""
        bits = {name: str(genotype[name]) for name in self.space}
        missing = [(name, place) for name, each in bits.items() for place, bit in enumerate(each) if bit == "0"]
        rng.shuffle(missing)

        def with_first(count: int) -> Genotype:
            values = {name: list(each) for name, each in bits.items()}
            for name, place in missing[:count]:
                values[name][place] = "1"
            return Genotype({name: "".join(each) for name, each in values.items()})

        low, high = 0, len(missing) + 1
        while high - low > 1:  # invariant: with the first `low` filters it is allowed
            middle = (low + high) // 2
            low, high = (middle, high) if self.allows(with_first(middle)) else (low, middle)
        return with_first(low)

    def settled(self, genomes: Sequence[str], rng: random.Random) -> list[Genotype]:
        """Return genomes as genotypes within the budget, none with an empty layer."""
        generation = []
        for genome in genomes:
            values: dict[str, Value] = {}
            start = 0
            for name, dimension in self.space.items():
                assert isinstance(dimension, Mask)
                bits = genome[start : start + dimension.length]
                start += dimension.length
                if bits.count("1") < dimension.minimum:
                    kept = str(self._feasible.anchor[name])
                    bits = "".join("1" if "1" in pair else "0" for pair in zip(bits, kept, strict=True))
                values[name] = bits
            genotype = Genotype.trusted(values)
            allowed = genotype if self._feasible.allows(genotype) else self._feasible.repair(genotype, rng)
            if allowed is not None:
                generation.append(allowed)
        return generation


class _Side(NamedTuple):
    """One population: its last evaluated generation, their fitness, and the fittest, once there is one."""

    generation: tuple[Genotype, ...] = ()
    fitness: tuple[float, ...] = ()
    champion: Genotype | None = None


class _State(NamedTuple):
    """The number of evaluated generations (even ones belong to the first population), and both populations."""

    turn: int = 0
    sides: tuple[_Side, _Side] = (_Side(), _Side())


class CoEvolution(Searcher):
    """Algorithm 1: generations of the two populations in turns, for a number of iterations.

    Iteration 0 evaluates random individuals, the first direction's with the other's original as their partner. From
    then on, individuals of the first direction have the best of the second so far as their partner, and those of the
    second the best that the first has just found. The searcher asks for pairs: genotypes of `space`, which name the
    direction whose turn it is, so that fitness is a function of the genotype. No pair is asked for twice.

    Args:
        populations: the populations of `TURNS`, in that order.
        objective: the fitness, to be maximised; the roulette wheel needs values above 0.
        iterations: number of iterations after the first (T); each breeds and evaluates both populations once.
        apart: always use the other direction's original as the partner: the paper's ablation, two evolutions.
    """

    def __init__(
        self, populations: Sequence[Population], objective: Objective, iterations: int, apart: bool = False
    ) -> None:
        super().__init__(objective)
        self._populations = tuple(populations)
        self._iterations, self._apart = iterations, apart
        self.space = Space({TURN: Choice(TURNS)})
        for name, population in zip(TURNS, self._populations, strict=True):
            self.space = self.space | population.space.prefixed(name)
        self._state = _State()
        self._asked: tuple[_State, tuple[Genotype, ...]] | None = None

    @property
    def champions(self) -> tuple[Genotype | None, Genotype | None]:
        """The fittest individual of each population's last generation; None before there is one."""
        first, second = self._state.sides
        return first.champion, second.champion

    @property
    def both_ways(self) -> list[tuple[Genotype, Genotype]]:
        """The individuals of both populations that were measured with each other as their partner, in order.

        The best of a generation is kept, and so measured again beside the partner that was found with it.
        """
        forth, back = ({pair: None for pair in self.trials if pair[TURN] == turn} for turn in TURNS)
        pairs = [(pair.under(TURNS[0]), pair.under(TURNS[1])) for pair in forth]
        return [pair for pair in pairs if self.pair(TURNS[1], *pair) in back]

    def ranked(self, turn: str) -> list[Genotype]:
        """Return the champion of a population, then the others of its last generation, fittest first."""
        side = self._state.sides[TURNS.index(turn)]
        order = sorted(zip(side.fitness, side.generation, strict=True), key=lambda pair: -pair[0])
        found = [side.champion, *(one for fitness, one in order if math.isfinite(fitness))]
        return list(dict.fromkeys(one for one in found if one is not None))

    def pair(self, turn: str, a: Genotype, b: Genotype) -> Genotype:
        """Return the point of `space` for evaluating one of two individuals with the other as its partner."""
        return Genotype.trusted({TURN: turn}) | a.prefixed(TURNS[0]) | b.prefixed(TURNS[1])

    def ask(self, rng: random.Random) -> list[Genotype]:
        """Return the pairs of the next generation that have not been evaluated yet."""
        state = self._state
        while state.turn < 2 * (self._iterations + 1):
            population, side = self._populations[state.turn % 2], state.sides[state.turn % 2]
            first = state.turn < 2
            generation = tuple(population.draw(rng) if first else population.breed(side.generation, side.fitness, rng))
            self._asked = state, generation
            pairs = dict.fromkeys(self._pairs(state, generation))
            if asked := [pair for pair in pairs if pair not in self.trials]:
                return asked
            state = self._settled(state, generation)
        self._state = state
        return []

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in the trials of a generation, and with them its fittest individual."""
        self.add(trials)
        if self._asked is not None:
            self._state = self._settled(*self._asked)
            self._asked = None

    def _pairs(self, state: _State, generation: Sequence[Genotype]) -> Iterator[Genotype]:
        """Yield the individuals of a generation paired with their partner of the other population."""
        side = state.turn % 2
        partner = None if self._apart else state.sides[1 - side].champion
        if partner is None:
            partner = self._populations[1 - side].space.largest()
        for individual in generation:
            a, b = (individual, partner) if side == 0 else (partner, individual)
            yield self.pair(TURNS[side], a, b)

    def _settled(self, state: _State, generation: tuple[Genotype, ...]) -> _State:
        """Return the state after the pairs of a generation are evaluated."""
        pairs = self._pairs(state, generation)
        fitness = tuple(self.fitness(pair) if pair in self.trials else -math.inf for pair in pairs)
        top = max(fitness, default=-math.inf)
        number = state.turn % 2
        champion = generation[fitness.index(top)] if top > -math.inf else state.sides[number].champion
        here, other = _Side(generation, fitness, champion), state.sides[1 - number]
        return _State(state.turn + 1, (here, other) if number == 0 else (other, here))
