"""How a generator that lost some of its filters is described, so that `build_generator` makes it again."""

from collections.abc import Callable, Mapping
from typing import Any

from slimgen.errors import RecipeError
from slimgen.nets import GENERATORS, description_of


def check_family(family: str) -> None:
    """Raises RecipeError where the filters of a family cannot be cut one by one."""
    if ":" in family or hasattr(description_of(family), "cut"):
        return
    known = [name for name in GENERATORS if hasattr(description_of(name), "cut")]
    rule = "filters must be cut out of generators with widths of their own"
    raise RecipeError(rule, repr(family), f"known: {', '.join(known)}, or package.module:Class of your own")


def described(family: str, options: Mapping[str, Any], outputs: Callable[[str], int]) -> dict[str, Any]:
    """The options of a generator of one of slimgen's families, cut.

    Args:
        family: its name.
        options: of the whole generator.
        outputs: the name of a convolution to the output channels that it has left.

    Raises:
        RecipeError: a family that has no widths.
    """
    check_family(family)
    rest = {name: value for name, value in options.items() if name not in ("ngf", "config", "widths")}
    return {**rest, "widths": description_of(family)(**options).cut(outputs)}


def narrowest(family: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the generator of one filter in every layer."""
    return described(family, options, lambda name: 1)
