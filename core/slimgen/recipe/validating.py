"""Sections of recipes: checks of values against their models, and renamed keys."""

import json
import re
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from slimgen.errors import RecipeError, SlimgenError, nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

RENAMED: dict[str, str] = {
    "finetune.uniform": "finetune.rivals: [narrowed]",
    "search.operator_evaluations": "search.operator_share: its part of search.evaluations",
    "search.channel_evaluations": "search.evaluations: of the operator and the channel step together",
    "search.rounds": "search.evaluations: rounds x population",
    "search.iterations": "search.evaluations: 2 x population x (iterations + 1)",
    "search.networks": "search.evaluations: 8",
    "teach.back_generator_checkpoint": "teach.reverse_generator_checkpoint: FILE",
    "teach.back_discriminator_checkpoint": "teach.reverse_discriminator_checkpoint: FILE",
}
"""Former dotted key to the present one with its form: `finetune.uniform` to `finetune.rivals: [narrowed]`."""

_RULES = {
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "bool_type": "must be true or false",
    "string_type": "must be text",
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a mapping"),
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}
"""Rule that a value breaks, by pydantic's name for it."""


def _words(value: object) -> object:
    if isinstance(value, str):
        return tuple(re.split(r"\s*,\s*", value.strip()))
    return tuple(value) if isinstance(value, list) else value  # what a validator returns is held to the very type


Words = BeforeValidator(_words)
"""Lets a list of words be written as one word, or as several with commas between them."""

SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """A part of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def section(model: type[SectionT], values: Mapping[str, Any], where: str) -> SectionT:
    """Validate values against a section's model, with one-line errors.

    Nothing is converted: a boolean is no number, and a text that looks like a number stays text.

    Raises:
        RecipeError: names the place, the rule and the value; for an unknown key, the nearest known one.
    """
    try:
        # Read as JSON: strict mode then still accepts a list for a tuple.
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise _error(model, _telling(error.errors()), where) from None


def _telling(errors: "list[ErrorDetails]") -> "ErrorDetails":
    """Return the first error; for a value with several allowed types, the error of the nearest type."""
    first, *others = errors
    if first["type"] == "string_type" and isinstance(first["input"], list | dict):
        place = first["loc"][:-1]
        return next((other for other in others if place and other["loc"][: len(place)] == place), first)
    return first


def _error(model: type[BaseModel], first: "ErrorDetails", where: str) -> RecipeError:
    """Return the one-line error for pydantic's first one."""
    place, kind, came = ".".join(_place(model, first["loc"])), first["type"], first["input"]
    if kind == "extra_forbidden":
        # Sections that a method defines are validated alone, under their own names.
        old = next((key for key in (place, f"{where}.{place}") if key in RENAMED), None)
        known = _fields(model, first["loc"][:-1])
        inside = _inside(model, place)
        hint = f"did you mean {' or '.join(inside)}?" if inside else nearest(str(first["loc"][-1]), known)
        hint = f"{old} is now {RENAMED[old]}" if old else hint
        return RecipeError(f"{where} has no key {place!r}", shown(came), hint)
    if kind == "missing" and isinstance(first["loc"][-1], int):  # an item of a list that is too short
        place = place.rpartition(".")[0]
        return RecipeError(f"{where}: {place}: must be a longer list", shown(came), "give a value for each item")
    if kind == "missing":
        return RecipeError(f"{where} needs the key {place!r}")
    context = first.get("ctx", {})
    raised = context.get("error")
    if isinstance(raised, SlimgenError):
        return RecipeError(f"{where}: {place}: {raised.rule}", raised.got, raised.hint)
    rule = _RULES.get(kind, str(first["msg"]).removeprefix("Value error, ")).format(**context)
    if not place:  # a rule about several keys
        return RecipeError(f"{where}: {rule}")
    if kind == "model_type" and not isinstance(came, dict):
        keys = _fields(model, (*first["loc"], ""))
        hint = f"set {', '.join(f'{place}.{key}' for key in keys[:3])}{' ...' if len(keys) > 3 else ''}"
        return RecipeError(f"{where}: {place}: must be a section of keys", shown(came), hint)
    return RecipeError(f"{where}: {place}: {rule}", None if isinstance(came, dict) else shown(came), _hint(kind, came))


def _inside(model: type[BaseModel], key: str) -> list[str]:
    """Return the dotted keys of a model's sections that have this name, of one that the model itself lacks."""
    kinds = {name: _bare(field.annotation) for name, field in _fields_of(model).items()}
    sections = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return [f"{name}.{key}" for name, kind in sections.items() if key in _fields_of(kind)]


def shown(value: object) -> str:
    """Return a value as YAML text, cut to 80 characters."""
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else repr(value)
    return str(text)[:80]


def _hint(kind: str, came: object) -> str | None:
    """Return the hint for a value of the wrong type."""
    if kind.startswith(("int", "float")) and isinstance(came, str) and came.strip().lstrip("+-")[:1].isdigit():
        return "write it with digits only and without quotes"
    if kind == "string_type" and not isinstance(came, dict | list | None):
        return "put it in quotes"
    return None


def _place(model: type[BaseModel], parts: tuple[int | str, ...]) -> list[str]:
    """Return the keys that lead to a value, without the names of tried types that pydantic adds."""
    found: list[str] = []
    kind: Any = model
    for part in parts:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = _fields_of(kind).get(str(part))
            kind = None if field is None else _bare(field.annotation)
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif isinstance(part, str):
            break
        found.append(str(part))
    return found


def _bare(annotation: Any) -> Any:
    """Return the type without an alternative None."""
    others = [one for one in get_args(annotation) if one is not NoneType]
    return others[0] if NoneType in get_args(annotation) and len(others) == 1 else annotation


def _fields(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the known keys at a place inside a model."""
    for part in place:
        known = _fields_of(model)
        inner = _bare(known[str(part)].annotation) if str(part) in known else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(_fields_of(model))


def _fields_of(model: type[BaseModel]) -> dict[str, "FieldInfo"]:
    """Return the fields of a model by their keys in a recipe."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
