"""New genotypes within the budget: drawn and rejected at first, then repaired."""

import random
from collections.abc import Callable, Container

from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

Allows = Callable[[Genotype], bool]
_TRIES = 30
_REPAIR_EVERY = 5
_LISTED = 20_000


class Feasible:
    """The part of a space that a budget allows.

    Args:
        space: the whole.
        allows: whether a genotype is within the budget.
        anchor: a genotype that is allowed, towards which others are repaired: what `budget.require_reachable`
            returns; the smallest of the space where not given.
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
            if genotype is None:
                genotype = self._remaining(rng, taken)
            if genotype is None:
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

        def after(count: int) -> Genotype:
            return self.space.settle({**values, **dict(moves[:count])})

        if not self.allows(self.anchor):
            return None
        low, high, repaired = 0, len(moves), self.anchor
        while high - low > 1:
            middle = (low + high) // 2
            candidate = after(middle)
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
            if name in there and values[name] != self.anchor[name]:
                if name in parents:
                    stations[name] = [self.anchor[name]]
                else:
                    stations[name] = _stations(self.space[name], values[name], self.anchor[name], rng)
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
