"""Spaces of networks to search: named dimensions, some of which exist only under a condition."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from slimgen.errors import nearest
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.subspace import Conditions, count, narrowed, parents_first, pinned, require_sound

Weights = Callable[[str, Genotype], Sequence[float]]
"""A function from a choice's name and a genotype to one weight per option: mutation draws in proportion to them."""
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Space(Mapping[str, Dimension]):
    """An immutable mapping of dotted names to dimensions, in the order given.

    A condition ``child: (parent, values)`` means that the child exists only where the choice `parent` exists and has
    one of `values`; conditions may be chained. Elsewhere the child is inactive and has its resting value, so two
    genotypes of the space are equal exactly if their networks are. The resting value is the child's smallest value in
    the space as first declared. Narrowing and pinning keep it, even where it is no longer an option, so a genotype of
    a part of the space is also a genotype of the whole, with the same key.

    Attributes:
        order: all names, parents before their children.
        size: the exact number of canonical genotypes.

    Raises:
        SpaceError: a malformed name, a condition over unknown names or options, a mask as a parent, or a cycle.
    """

    conditions: Conditions
    resting: Mapping[str, Value]
    order: tuple[str, ...]
    size: int
    _dimensions: dict[str, Dimension]
    _conditional: list[tuple[str, str, frozenset[Value], Value]]

    def __init__(
        self,
        dimensions: Mapping[str, Dimension],
        conditions: Conditions = MappingProxyType({}),
        resting: Mapping[str, Value] = MappingProxyType({}),
    ) -> None:
        for name in dimensions:
            if not _NAME.fullmatch(name):
                raise SpaceError("a dimension's name must be words of letters, digits, -, _ joined by dots", repr(name))
        frozen = {child: (parent, frozenset(values)) for child, (parent, values) in conditions.items()}
        require_sound(dimensions, frozen)
        rests = {child: resting.get(child, dimensions[child].smallest) for child in frozen}
        order = parents_first(dimensions, frozen)
        self.__dict__.update(
            conditions=MappingProxyType(frozen),
            resting=MappingProxyType(rests),
            order=order,
            size=count(dimensions, frozen, order),
            _dimensions=dict(dimensions),
            _conditional=[(child, *frozen[child], rests[child]) for child in order if child in frozen],
        )

    def sample(self, rng: random.Random) -> Genotype:
        """Draw a genotype, every dimension uniformly (a mask bit by bit)."""
        return self.settle({name: dimension.sample(rng) for name, dimension in self._dimensions.items()})

    def largest(self) -> Genotype:
        """Return the genotype with every dimension at its largest value."""
        return self.settle({name: dimension.largest for name, dimension in self._dimensions.items()})

    def smallest(self) -> Genotype:
        """Return the genotype with every dimension at its smallest value.

        Under conditions it need not be the cheapest: see `budget.cheapest`.
        """
        return self.settle({name: dimension.smallest for name, dimension in self._dimensions.items()})

    def settle(self, values: dict[str, Value]) -> Genotype:
        """Return the genotype of values that are known to be options, with inactive dimensions at rest."""
        inactive = set()
        for child, parent, under, rest in self._conditional:
            if parent in inactive or values[parent] not in under:
                inactive.add(child)
                values[child] = rest
        return Genotype.trusted(values)

    def active(self, values: Mapping[str, Value]) -> frozenset[str]:
        """Return the names of the dimensions that exist in this genotype."""
        return frozenset(name for name, exists in self._existing(values) if exists)

    def canonical(self, values: Mapping[str, Value]) -> Genotype:
        """Check values and return their genotype: options in their declared type, inactive dimensions at rest.

        The values of inactive dimensions are ignored and may be left out.

        Raises:
            SpaceError: an unknown or missing name, or a value that is not an option of its dimension.
        """
        for name in values:
            if name not in self._dimensions:
                raise SpaceError(f"this space has no dimension {name!r}", None, nearest(str(name), self._dimensions))
        settled: dict[str, Value] = {}
        for name, exists in self._existing(settled):
            if exists and name not in values:
                raise SpaceError(f"a genotype must give every dimension a value, but {name!r} is missing")
            value = self._dimensions[name].declared(values[name]) if exists else self.resting[name]
            if value is None:
                raise SpaceError(f"{name} must be {self._dimensions[name]}", repr(values[name]))
            settled[name] = value
        return Genotype.trusted({name: settled[name] for name in self})

    def check(self, genotype: Mapping[str, Value]) -> None:
        """Raise SpaceError unless this is a canonical genotype of the space, with inactive dimensions at rest."""
        canonical = self.canonical(genotype)
        for name, value in canonical.items():
            if genotype.get(name) != value:
                parent = self.conditions[name][0]
                rule = f"{name} does not exist where {parent} is {canonical[parent]}, and must then be {value!r}"
                raise SpaceError(rule, repr(genotype.get(name)), "Space.canonical sets it")

    def mutate(self, genotype: Genotype, rng: random.Random, rate: float, weights: Weights | None = None) -> Genotype:
        """Change each active dimension with probability `rate`, and at least one where there is another genotype.

        A choice changes to another option, uniformly or in proportion to `weights`; a mask has a random segment
        flipped. A dimension that becomes active is drawn anew.
        """
        before = self.active(genotype)
        movable = [name for name in self if name in before and self[name].size > 1]
        if not movable:
            return genotype
        changing = {name for name in movable if rng.random() < rate} or {rng.choice(movable)}
        values = genotype.to_json()
        for name, exists in self._existing(values):
            dimension = self[name]
            if exists and name not in before:
                values[name] = dimension.sample(rng)
            elif exists and name in changing:
                directed = weights(name, genotype) if weights is not None and isinstance(dimension, Choice) else None
                values[name] = dimension.change(values[name], rng, directed)
        return self.settle(values)

    def cross(self, a: Genotype, b: Genotype, rng: random.Random) -> Genotype:
        """Return a child that takes each dimension from a parent in which it is active.

        For a dimension active in both, see `Choice.cross` and `Mask.cross`.
        """
        in_a, in_b = self.active(a), self.active(b)
        values: dict[str, Value] = {}
        for name, dimension in self._dimensions.items():
            if name in in_a and name in in_b:
                values[name] = dimension.cross(a[name], b[name], rng)
            else:
                values[name] = b[name] if name in in_b else a[name]
        return self.settle(values)

    def replacements(self, genotype: Genotype, name: str) -> list[Genotype]:
        """Return the genotype with each option of one choice, its present one included.

        The list is empty for a mask or an inactive choice. A dimension that becomes active takes its smallest value.
        """
        dimension, active = self[name], self.active(genotype)
        if name not in active or not isinstance(dimension, Choice):
            return []
        idle = {other: self[other].smallest for other in self if other not in active}
        return [self.settle({**genotype, **idle, name: option}) for option in dimension.options]

    def neighbours(self, genotype: Genotype) -> list[Genotype]:
        """Return every genotype that differs in one active choice, in the order of the space and of its options."""
        return [other for name in self for other in self.replacements(genotype, name) if other[name] != genotype[name]]

    def pin(self, at: Mapping[str, Value], free: str | tuple[str, ...] = ()) -> "Space":
        """Return the part of the space with every dimension fixed to its value in `at`, except names under `free`.

        A name is free if it starts with `free` or one of its prefixes. `at` need not be canonical: its value for a
        dimension that is inactive there counts where a free parent makes that dimension active. To vary paths with
        everything else at its largest, pin at ``{name: dimension.largest for name, dimension in space.items()}``.

        Raises:
            SpaceError: a prefix that no name starts with, or a value that is missing or not an option.
        """
        return self._part(pinned(self, self.resting, at, free))

    def narrow(self, allowed: Mapping[str, Sequence[Value]]) -> "Space":
        """Return the part of the space in which choices keep only the allowed options, in their original order.

        Each key is a name, or a prefix of several; the longest key that matches a name applies.

        Raises:
            SpaceError: a key that matches nothing or a mask, an option that no matching choice has, or a choice that
                would keep no option.
        """
        return self._part(narrowed(self, allowed))

    def prefixed(self, prefix: str) -> "Space":
        """Return the same space with `prefix` and a dot before every name."""
        start = prefix.rstrip(".") + "."
        return Space(
            {start + name: dimension for name, dimension in self.items()},
            {start + child: (start + parent, under) for child, (parent, under) in self.conditions.items()},
            {start + child: value for child, value in self.resting.items()},
        )

    def __or__(self, other: "Space") -> "Space":
        """Return both spaces joined; raise SpaceError for a name that is in both."""
        if clash := sorted(self.keys() & other.keys()):
            raise SpaceError("joined spaces must not share a name", ", ".join(clash), "give one of them a prefix")
        return Space({**self, **other}, {**self.conditions, **other.conditions}, {**self.resting, **other.resting})

    def enumerate(self) -> Iterator[Genotype]:
        """Yield every canonical genotype once, in a fixed order: parents first, later names varying fastest."""
        values: dict[str, Value] = {name: dimension.smallest for name, dimension in self.items()}
        while True:
            genotype = self.settle(dict(values))
            yield genotype
            active = self.active(genotype)
            for position in reversed(range(len(self.order))):
                name = self.order[position]
                following = self[name].successor(values[name]) if name in active else None
                if following is not None:
                    values[name] = following
                    for later in self.order[position + 1 :]:
                        values[later] = self[later].smallest
                    break
            else:
                return

    def _existing(self, values: Mapping[str, Value]) -> Iterator[tuple[str, bool]]:
        """Yield every name, parents first, and whether it is active under its parents' values at that time."""
        inactive = set()
        for name in self.order:
            if name in self.conditions:
                parent, under = self.conditions[name]
                if parent in inactive or values[parent] not in under:
                    inactive.add(name)
            yield name, name not in inactive

    def _part(self, dimensions: Mapping[str, Dimension]) -> "Space":
        """Return the space with fewer options: conditions lose removed values, resting values stay."""
        conditions = {
            child: (parent, frozenset(value for value in under if dimensions[parent].declared(value) is not None))
            for child, (parent, under) in self.conditions.items()
        }
        return Space(dimensions, conditions, self.resting)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        same_order = list(self._dimensions.items()) == list(other._dimensions.items())
        return same_order and self.conditions == other.conditions and self.resting == other.resting

    def __repr__(self) -> str:
        return f"Space({len(self)} dimensions, {self.size} genotypes)"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a space is frozen; pin, narrow or join it")

    def __reduce__(self) -> tuple[type["Space"], tuple[object, ...]]:
        return Space, (self._dimensions, dict(self.conditions), dict(self.resting))
