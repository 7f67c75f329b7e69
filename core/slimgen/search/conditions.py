"""Conditions between dimensions: a forest in which a child exists only under some values of its parent."""

from collections.abc import Mapping
from math import prod

from slimgen.errors import nearest
from slimgen.search.dimension import Choice, Dimension, Mask
from slimgen.search.genotype import SpaceError, Value

Conditions = Mapping[str, tuple[str, frozenset[Value]]]
"""Child to (parent, values of the parent under which the child exists)."""


def require_sound(dimensions: Mapping[str, Dimension], conditions: Conditions) -> None:
    """Checks that conditions speak of choices of these dimensions, and of options that they have.

    Raises:
        SpaceError: a condition over unknown names or options, or a mask as a parent.
    """
    for child, (parent, values) in conditions.items():
        for name in (child, parent):
            if name not in dimensions:
                rule = f"the condition of {child!r} knows no dimension {name!r}"
                raise SpaceError(rule, None, nearest(name, dimensions))
        choice = dimensions[parent]
        if not isinstance(choice, Choice):
            raise SpaceError(f"the condition of {child!r} hangs on a choice", f"the mask {parent!r}")
        for value in values:
            if choice.declared(value) is None:
                raise SpaceError(f"the condition of {child!r} hangs on {parent}, {choice}", repr(value))


def parents_first(dimensions: Mapping[str, Dimension], conditions: Conditions) -> tuple[str, ...]:
    """All names, parents before their children.

    Raises:
        SpaceError: a cycle.
    """
    order: dict[str, None] = {}
    waiting = list(dimensions)
    while waiting:
        ready = [name for name in waiting if name not in conditions or conditions[name][0] in order]
        if not ready:
            raise SpaceError("conditions form a forest", f"a cycle among {', '.join(waiting)}")
        order.update(dict.fromkeys(ready))
        waiting = [name for name in waiting if name not in order]
    return tuple(order)


def count(dimensions: Mapping[str, Dimension], conditions: Conditions, order: tuple[str, ...]) -> int:
    """The exact number of canonical genotypes.

    Args:
        dimensions: by name.
        conditions: between them.
        order: parents before their children.
    """
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
