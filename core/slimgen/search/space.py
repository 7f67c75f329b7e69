"""The space of networks that a method searches: named dimensions, some of which exist only under a condition."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import NoReturn

from slimgen.errors import nearest
from slimgen.search import subspace, variation
from slimgen.search.dimension import Choice, Dimension, Mask
from slimgen.search.genotype import Genotype, SpaceError, Value

__all__ = ["Choice", "Conditions", "Dimension", "Genotype", "Mask", "Space", "SpaceError", "Value", "Weights"]

Conditions = Mapping[str, tuple[str, frozenset[Value]]]
Weights = Callable[[str, Genotype], Sequence[float]]
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Space(Mapping[str, Dimension]):
    """An immutable mapping of dotted names to dimensions, in the order given.

    A condition ``child: (parent, values)`` says that the child exists only where the choice `parent` exists and has
    one of `values`. Elsewhere the child is inactive and carries its resting value, so that two genotypes of the
    space are equal exactly if their networks are. The resting value is the smallest value of the space as it was
    declared: it survives narrowing and pinning, even where it is no longer an option, so that a genotype of a part
    of the space is, key and all, a genotype of the whole.

    Args:
        dimensions: name (``channel.stem``) to `Choice` or `Mask`.
        conditions: child to (parent, values); chains are fine, cycles are not.
        resting: what inactive children carry; the smallest value where not given.

    Raises:
        SpaceError: a malformed name, a condition over unknown names or options, a mask as a parent, or a cycle.
    """

    __slots__ = ("_conditional", "_conditions", "_dimensions", "_items", "_order", "_resting", "_size")
    _dimensions: dict[str, Dimension]
    _conditions: dict[str, tuple[str, frozenset[Value]]]
    _resting: dict[str, Value]
    _order: tuple[str, ...]
    _conditional: tuple[tuple[str, str, frozenset[Value], Value], ...]
    _items: tuple[tuple[str, Dimension], ...]
    _size: int

    def __init__(
        self,
        dimensions: Mapping[str, Dimension],
        conditions: Conditions = MappingProxyType({}),
        resting: Mapping[str, Value] = MappingProxyType({}),
    ) -> None:
        own = {child: (parent, frozenset(values)) for child, (parent, values) in conditions.items()}
        _require_sound(dimensions, own)
        rests = {child: resting.get(child, dimensions[child].smallest) for child in own}
        order = _parents_first(dimensions, own)
        object.__setattr__(self, "_dimensions", dict(dimensions))
        object.__setattr__(self, "_conditions", own)
        object.__setattr__(self, "_resting", rests)
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_items", tuple(dimensions.items()))
        conditional = tuple((child, *own[child], rests[child]) for child in order if child in own)
        object.__setattr__(self, "_conditional", conditional)
        object.__setattr__(self, "_size", _count(self._dimensions, own, order))

    @property
    def conditions(self) -> Conditions:
        """Child to (parent, values of the parent under which the child exists)."""
        return MappingProxyType(self._conditions)

    @property
    def resting(self) -> Mapping[str, Value]:
        """What each conditional dimension carries while it is inactive."""
        return MappingProxyType(self._resting)

    @property
    def order(self) -> tuple[str, ...]:
        """All names, parents before their children."""
        return self._order

    @property
    def size(self) -> int:
        """The exact number of canonical genotypes."""
        return self._size

    def sample(self, rng: random.Random) -> Genotype:
        """A genotype whose every dimension is drawn uniformly (a mask: bit by bit)."""
        return self.settle({name: dimension.sample(rng) for name, dimension in self._items})

    def largest(self) -> Genotype:
        """Every dimension at its largest."""
        return self.settle({name: dimension.largest for name, dimension in self._items})

    def smallest(self) -> Genotype:
        """Every dimension at its smallest. Under conditions it need not be the cheapest: see `budget.cheapest`."""
        return self.settle({name: dimension.smallest for name, dimension in self._items})

    def settle(self, values: dict[str, Value]) -> Genotype:
        """Takes over values that are known to be options, in this order, and puts inactive ones to rest."""
        inactive = set()
        for child, parent, under, rest in self._conditional:
            if parent in inactive or values[parent] not in under:
                inactive.add(child)
                values[child] = rest
        return Genotype.trusted(values)

    def active(self, values: Mapping[str, Value]) -> frozenset[str]:
        """The names of the dimensions that exist in this genotype."""
        inactive = set()
        for child, parent, under, _ in self._conditional:
            if parent in inactive or values[parent] not in under:
                inactive.add(child)
        return frozenset(name for name in self._dimensions if name not in inactive)

    def canonical(self, values: Mapping[str, Value]) -> Genotype:
        """The genotype of these values, checked: options in their declared type, inactive dimensions at rest.

        What is given for an inactive dimension does not matter, and it may be left out.

        Raises:
            SpaceError: an unknown or missing name, or a value that is no option of its dimension.
        """
        for name in values:
            if name not in self._dimensions:
                raise SpaceError(f"this space has no dimension {name!r}", None, nearest(str(name), self._dimensions))
        found: dict[str, Value] = {}
        inactive = set()
        for name in self._order:
            if name in self._conditions:
                parent, under = self._conditions[name]
                if parent in inactive or found[parent] not in under:
                    inactive.add(name)
                    found[name] = self._resting[name]
                    continue
            if name not in values:
                raise SpaceError(f"a genotype gives every dimension a value, but {name!r} is missing")
            value = self._dimensions[name].own(values[name])
            if value is None:
                raise SpaceError(f"{name} is {self._dimensions[name]}", repr(values[name]))
            found[name] = value
        return Genotype.trusted({name: found[name] for name in self._dimensions})

    def check(self, genotype: Mapping[str, Value]) -> None:
        """Nothing, if this is a canonical genotype of the space.

        Raises:
            SpaceError: as `canonical` does; also for a value given to a dimension that does not exist there.
        """
        canonical = self.canonical(genotype)
        for name, value in canonical.items():
            if genotype.get(name) != value:
                parent = self._conditions[name][0]
                rule = f"{name} does not exist where {parent} is {canonical[parent]}, and must rest at {value!r}"
                raise SpaceError(rule, repr(genotype.get(name)), "Space.canonical puts it to rest")

    def mutate(self, genotype: Genotype, rng: random.Random, rate: float, weights: Weights | None = None) -> Genotype:
        """Another genotype, near this one: see `variation.mutate`."""
        return variation.mutate(self, genotype, rng, rate, weights)

    def cross(self, a: Genotype, b: Genotype, rng: random.Random) -> Genotype:
        """A child of two genotypes: see `variation.cross`."""
        return variation.cross(self, a, b, rng)

    def neighbours(self, genotype: Genotype) -> list[Genotype]:
        """Every single replacement of an existing choice: see `variation.neighbours`."""
        return variation.neighbours(self, genotype)

    def pin(self, at: Mapping[str, Value], free: str | tuple[str, ...] = ()) -> "Space":
        """The part of the space where only names that start with `free` vary: see `subspace.pin`."""
        return subspace.pin(self, at, free)

    def narrow(self, allowed: Mapping[str, Sequence[Value]]) -> "Space":
        """The part of the space with only some options: see `subspace.narrow`."""
        return subspace.narrow(self, allowed)

    def prefixed(self, prefix: str) -> "Space":
        """The same space under longer names: see `subspace.prefixed`."""
        return subspace.prefixed(self, prefix)

    def __or__(self, other: "Space") -> "Space":
        """Both spaces side by side; a name in both is a SpaceError."""
        return subspace.joined(self, other)

    def enumerate(self) -> Iterator[Genotype]:
        """Every canonical genotype once, lazily, in a fixed order: later names vary fastest, parents come first."""
        values: dict[str, Value] = {name: dimension.smallest for name, dimension in self._items}
        while True:
            genotype = self.settle(dict(values))
            yield genotype
            active = self.active(genotype)
            for position in reversed(range(len(self._order))):
                name = self._order[position]
                following = self._dimensions[name].successor(values[name]) if name in active else None
                if following is not None:
                    values[name] = following
                    for later in self._order[position + 1 :]:
                        values[later] = self._dimensions[later].smallest
                    break
            else:
                return

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        mine, theirs = (self._items, self._conditions, self._resting), (other._items, other._conditions, other._resting)
        return mine == theirs

    def __repr__(self) -> str:
        return f"Space({len(self)} dimensions, {self.size} genotypes)"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a space is frozen; pin, narrow or join it")

    def __reduce__(self) -> tuple[type["Space"], tuple[object, ...]]:
        return Space, (self._dimensions, self._conditions, self._resting)


def _require_sound(dimensions: Mapping[str, Dimension], conditions: Conditions) -> None:
    for name in dimensions:
        if not _NAME.fullmatch(name):
            raise SpaceError("a dimension's name is words of letters, digits, - and _, joined by dots", repr(name))
    for child, (parent, values) in conditions.items():
        for name in (child, parent):
            if name not in dimensions:
                raise SpaceError(
                    f"the condition of {child!r} knows no dimension {name!r}", None, nearest(name, dimensions)
                )
        choice = dimensions[parent]
        if not isinstance(choice, Choice):
            raise SpaceError(f"the condition of {child!r} hangs on a choice", f"the mask {parent!r}")
        for value in values:
            if choice.own(value) is None:
                raise SpaceError(f"the condition of {child!r} hangs on {parent}, {choice}", repr(value))


def _parents_first(dimensions: Mapping[str, Dimension], conditions: Conditions) -> tuple[str, ...]:
    order: dict[str, None] = {}
    waiting = list(dimensions)
    while waiting:
        ready = [name for name in waiting if name not in conditions or conditions[name][0] in order]
        if not ready:
            raise SpaceError("conditions form a forest", f"a cycle among {', '.join(waiting)}")
        order.update(dict.fromkeys(ready))
        waiting = [name for name in waiting if name not in order]
    return tuple(order)


def _count(dimensions: Mapping[str, Dimension], conditions: Conditions, order: tuple[str, ...]) -> int:
    children: dict[str, list[str]] = {}
    for child, (parent, _) in conditions.items():
        children.setdefault(parent, []).append(child)
    counts: dict[str, int] = {}
    for name in reversed(order):
        dimension = dimensions[name]
        if isinstance(dimension, Mask) or name not in children:
            counts[name] = dimension.size
            continue
        counts[name] = sum(
            prod(counts[child] for child in children[name] if option in conditions[child][1])
            for option in dimension.options
        )
    return prod(counts[name] for name in order if name not in conditions)
