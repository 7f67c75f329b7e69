"""Network options as pydantic models: a recipe's options are checked against the types a class declares. No torch."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, create_model

from slimgen.errors import RecipeError
from slimgen.recipe import Section, section

Width = Annotated[int, Field(ge=1, le=1 << 16)]
"""Channels, or the length of noise."""
Repeats = Annotated[int, Field(ge=0, le=256)]
"""How often a part of a network is repeated; more than 256 times would train too slowly to be of use."""
Few = Annotated[int, Field(ge=1, le=16)]
"""Numbers of halvings, and others with an exponential effect."""
Ratio = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]

_PLAIN = (int, float, str, bool)


def check_options(takes: Callable[..., object], options: Mapping[str, Any], where: str, *, foreign: bool) -> None:
    """Check options against the types that a class declares.

    For a `foreign` class, only types that a recipe can express are checked: numbers, strings, booleans.

    Raises:
        RecipeError: an option is unknown (the nearest is suggested), missing, or of the wrong type or range.
    """
    if taken := sorted({"height", "width"} & options.keys()):
        rule = f"{where} cannot set {' and '.join(taken)}: networks take the size of the images"
        raise RecipeError(rule, None, "set the recipe's size")
    section(model_of(takes, foreign), options, where)


@cache
def model_of(takes: Callable[..., object], foreign: bool) -> type[Section]:
    """Return a model of what a class takes; of a `foreign` one, as `check_options`."""
    parameters = inspect.signature(takes).parameters
    try:
        hints = get_type_hints(takes.__init__ if foreign else takes, include_extras=True)
    except Exception:  # names imported for type checkers only
        hints = {}
    fields: dict[str, Any] = {}
    for number, (name, parameter) in enumerate(parameters.items()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        hint, default = hints.get(name, Any), parameter.default
        if foreign and not _plain(hint):
            hint = Any
        if default is parameter.empty:
            default = ...
        # Under another name: an option may be called like one of pydantic's attributes.
        fields[f"option_{number}"] = (hint, Field(default, alias=name))
    more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    config = ConfigDict(extra="allow") if more else ConfigDict()
    base = type("Options", (Section,), {"model_config": config, "__module__": __name__})
    return create_model(getattr(takes, "__name__", "Options"), __base__=base, **fields)


def _plain(hint: Any) -> bool:
    """Return whether a type is a number, string or boolean, or a union of these and None."""
    if get_origin(hint) in (Union, UnionType):
        return all(part is NoneType or part in _PLAIN for part in get_args(hint))
    return hint in _PLAIN
