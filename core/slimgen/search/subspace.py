"""Parts of spaces, and checks of the conditions under which dimensions exist."""

from collections.abc import Mapping, Sequence
from math import prod

from slimgen.errors import nearest
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import SpaceError, Value

Dimensions = Mapping[str, Dimension]
Conditions = Mapping[str, tuple[str, frozenset[Value]]]
"""Child to (parent, values of the parent under which the child exists)."""


def require_sound(dimensions: Dimensions, conditions: Conditions) -> None:
    """Raise SpaceError for a condition over unknown names or options, or a mask as a parent."""
    for child, (parent, values) in conditions.items():
        for name in (child, parent):
            if name not in dimensions:
                rule = f"the condition of {child!r} names an unknown dimension {name!r}"
                raise SpaceError(rule, None, nearest(name, dimensions))
        choice = dimensions[parent]
        if not isinstance(choice, Choice):
            raise SpaceError(f"the condition of {child!r} must depend on a choice", f"the mask {parent!r}")
        for value in values:
            if choice.declared(value) is None:
                raise SpaceError(f"the condition of {child!r} must name a value of {parent}, {choice}", repr(value))


def parents_first(dimensions: Dimensions, conditions: Conditions) -> tuple[str, ...]:
    """Return all names, parents before their children; raise SpaceError for a cycle."""
    order: dict[str, None] = {}
    waiting = list(dimensions)
    while waiting:
        ready = [name for name in waiting if name not in conditions or conditions[name][0] in order]
        if not ready:
            raise SpaceError("conditions must not form a cycle", f"one among {', '.join(waiting)}")
        order.update(dict.fromkeys(ready))
        waiting = [name for name in waiting if name not in order]
    return tuple(order)


def count(dimensions: Dimensions, conditions: Conditions, order: tuple[str, ...]) -> int:
    """Return the exact number of canonical genotypes; `order` lists all names, parents before their children."""
    children: dict[str, list[str]] = {}
    for child, (parent, _) in conditions.items():
        children.setdefault(parent, []).append(child)
    counts: dict[str, int] = {}
    for name in reversed(order):
        dimension = dimensions[name]
        counts[name] = dimension.size
        if isinstance(dimension, Choice) and name in children:
            counts[name] = sum(
                prod(counts[child] for child in children[name] if option in conditions[child][1])
                for option in dimension.options
            )
    return prod(counts[name] for name in order if name not in conditions)


def pinned(
    dimensions: Dimensions, resting: Mapping[str, Value], at: Mapping[str, Value], free: str | tuple[str, ...]
) -> dict[str, Dimension]:
    """Return the dimensions of `Space.pin`; `at` may give inactive dimensions their `resting` values."""
    prefixes = (free,) if isinstance(free, str) else tuple(free)
    for prefix in prefixes:
        _starting(dimensions, prefix)  # raises where none does
    part: dict[str, Dimension] = {}
    for name, dimension in dimensions.items():
        if name.startswith(prefixes):
            part[name] = dimension
            continue
        if name not in at:
            raise SpaceError(f"a pinned dimension needs a value, but {name!r} is missing")
        value = dimension.declared(at[name])
        if value is None and name in resting and at[name] == resting[name]:
            value = dimension.smallest
        if value is None:
            raise SpaceError(f"{name} must be {dimension}", repr(at[name]))
        part[name] = Choice((value,))
    return part


def narrowed(dimensions: Dimensions, allowed: Mapping[str, Sequence[Value]]) -> dict[str, Dimension]:
    """Return the dimensions of `Space.narrow`."""
    fitting: dict[str, list[str]] = {}
    for key, options in allowed.items():
        fitting[key] = [key] if key in dimensions else _starting(dimensions, key)
        known = {option for name in fitting[key] for option in _choice(dimensions, name).options}
        for option in options:
            if option not in known:
                listed = ", ".join(sorted(map(str, known)))
                raise SpaceError(f"{key} can only be narrowed to its options", repr(option), f"they are {listed}")
    part = dict(dimensions)
    for key in sorted(fitting, key=len):
        for name in fitting[key]:
            kept = tuple(option for option in _choice(dimensions, name).options if option in set(allowed[key]))
            if not kept:
                raise SpaceError(f"{name} must keep one of its options", [*allowed[key]], f"it is {dimensions[name]}")
            part[name] = Choice(kept)
    return part


def _choice(dimensions: Dimensions, name: str) -> Choice:
    dimension = dimensions[name]
    if not isinstance(dimension, Choice):
        raise SpaceError("only choices can be narrowed", f"the mask {name!r}")
    return dimension


def _starting(dimensions: Dimensions, prefix: str) -> list[str]:
    names = [name for name in dimensions if name.startswith(prefix)]
    if not names:
        raise SpaceError(f"no dimension starts with {prefix!r}", None, nearest(prefix, dimensions))
    return names
