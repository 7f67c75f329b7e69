"""Parts of spaces: the dimensions that remain where some are pinned or narrowed."""

from collections.abc import Mapping, Sequence

from slimgen.errors import nearest
from slimgen.search.dimension import Choice, Dimension
from slimgen.search.genotype import SpaceError, Value

Dimensions = Mapping[str, Dimension]


def pinned(
    dimensions: Dimensions, resting: Mapping[str, Value], at: Mapping[str, Value], free: str | tuple[str, ...]
) -> dict[str, Dimension]:
    """See `Space.pin`; `resting` holds the values that inactive dimensions carry, and that `at` may give for them."""
    prefixes = (free,) if isinstance(free, str) else tuple(free)
    for prefix in prefixes:
        _starting(dimensions, prefix)
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
            raise SpaceError(f"{name} is {dimension}", repr(at[name]))
        part[name] = Choice((value,))
    return part


def narrowed(dimensions: Dimensions, allowed: Mapping[str, Sequence[Value]]) -> dict[str, Dimension]:
    """See `Space.narrow`."""
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
                rule = f"{name} must keep one of its options"
                raise SpaceError(rule, list(allowed[key]), f"it is {dimensions[name]}")
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
