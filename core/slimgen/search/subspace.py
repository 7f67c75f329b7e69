"""Spaces made of spaces: pinned, narrowed, renamed, joined."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from slimgen.errors import nearest
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import SpaceError, Value

if TYPE_CHECKING:
    from slimgen.search.space import Space


def pin(space: "Space", at: Mapping[str, Value], free: str | tuple[str, ...] = ()) -> "Space":
    """The part of a space where every dimension has the value of `at`, but for those whose names start with `free`.

    `at` need not be canonical: what it says of a dimension that does not exist there counts where a free parent calls
    that dimension into existence. To vary paths with everything else at its largest, pin at
    ``{name: dimension.largest for name, dimension in space.items()}``.

    Raises:
        SpaceError: a prefix that no name starts with, a missing value, or one that is no option.
    """
    prefixes = (free,) if isinstance(free, str) else tuple(free)
    for prefix in prefixes:
        _require_known(space, prefix)
    dimensions: dict[str, Dimension] = {}
    for name, dimension in space.items():
        if name.startswith(prefixes):
            dimensions[name] = dimension
            continue
        if name not in at:
            raise SpaceError(f"a pinned dimension needs a value, but {name!r} is missing")
        value = dimension.own(at[name])
        if value is None and name in space.resting and at[name] == space.resting[name]:
            value = dimension.smallest
        if value is None:
            raise SpaceError(f"{name} is {dimension}", repr(at[name]))
        dimensions[name] = Choice((value,))
    return _within(space, dimensions)


def narrow(space: "Space", allowed: Mapping[str, Sequence[Value]]) -> "Space":
    """The part of a space in which choices keep only some of their options, in the order they had.

    Each key is a name, or a prefix of several; the longest key that fits a name counts.

    Raises:
        SpaceError: a key that fits nothing, an option that no fitting choice has, a choice left with none, or a mask.
    """
    fitting: dict[str, list[str]] = {}
    for key, options in allowed.items():
        fitting[key] = [key] if key in space else _require_known(space, key)
        known = {option for name in fitting[key] for option in _choice(space, name).options}
        for option in options:
            if option not in known:
                raise SpaceError(f"{key} can only be narrowed to its options", repr(option), f"they are {_list(known)}")
    dimensions = dict(space)
    for key in sorted(fitting, key=len):
        for name in fitting[key]:
            kept = tuple(option for option in _choice(space, name).options if option in set(allowed[key]))
            if not kept:
                raise SpaceError(f"{name} must keep one of its options", list(allowed[key]), f"it is {space[name]}")
            dimensions[name] = Choice(kept)
    return _within(space, dimensions)


def prefixed(space: "Space", prefix: str) -> "Space":
    """The same space with `prefix` and a dot before every name."""
    start = prefix.rstrip(".") + "."
    return type(space)(
        {start + name: dimension for name, dimension in space.items()},
        {start + child: (start + parent, under) for child, (parent, under) in space.conditions.items()},
        {start + child: value for child, value in space.resting.items()},
    )


def joined(a: "Space", b: "Space") -> "Space":
    """Both spaces side by side, the dimensions of `a` first.

    Raises:
        SpaceError: a name that both have.
    """
    if clash := sorted(a.keys() & b.keys()):
        raise SpaceError("joined spaces share no name", ", ".join(clash), "give one of them a prefix")
    return type(a)({**a, **b}, {**a.conditions, **b.conditions}, {**a.resting, **b.resting})


def _within(space: "Space", dimensions: Mapping[str, Dimension]) -> "Space":
    """The space with fewer options: its conditions lose the values that are gone, its resting values stay."""
    conditions = {
        child: (parent, frozenset(value for value in under if dimensions[parent].own(value) is not None))
        for child, (parent, under) in space.conditions.items()
    }
    return type(space)(dimensions, conditions, space.resting)


def _choice(space: "Space", name: str) -> Choice:
    dimension = space[name]
    if not isinstance(dimension, Choice):
        raise SpaceError("only choices can be narrowed", f"the mask {name!r}")
    return dimension


def _require_known(space: "Space", prefix: str) -> list[str]:
    names = [name for name in space if name.startswith(prefix)]
    if not names:
        raise SpaceError(f"no dimension starts with {prefix!r}", None, nearest(prefix, space))
    return names


def _list(options: set[Value]) -> str:
    return ", ".join(sorted(map(str, options)))
