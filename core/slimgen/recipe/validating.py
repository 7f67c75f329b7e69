"""Sections of recipes: how values are checked against them, and keys that have another name now."""

import json
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

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
"""The dotted key that was, to the key that is, with its form: `finetune.uniform` to `finetune.rivals: [narrowed]`."""

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
"""The rule that a value breaks, by pydantic's name of it."""

SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """A part of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def section(model: type[SectionT], values: Mapping[str, Any], where: str) -> SectionT:
    """Validates values against a section's model, with errors of one line.

    They are taken as they are: a truth is no number, and a text that looks like a number is text.

    Raises:
        RecipeError: naming the place, the rule and what came; for an unknown key, the nearest known one.
    """
    try:
        # Read as JSON, whose lists may be tuples while all else is strict.
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise _error(model, _telling(error.errors()), where) from None


def _telling(errors: "list[ErrorDetails]") -> "ErrorDetails":
    """What was wrong first; of a value that may be of several kinds, what is wrong with the kind that is nearest."""
    first, *others = errors
    if first["type"] == "string_type" and isinstance(first["input"], list | dict):
        place = first["loc"][:-1]
        return next((other for other in others if place and other["loc"][: len(place)] == place), first)
    return first


def _error(model: type[BaseModel], first: "ErrorDetails", where: str) -> RecipeError:
    """What was wrong first, as one line."""
    place, kind, came = ".".join(_place(model, first["loc"])), first["type"], first["input"]
    if kind == "extra_forbidden":
        # Sections of a method's own are validated by themselves, under their names.
        old = next((key for key in (place, f"{where}.{place}") if key in RENAMED), None)
        known = _fields(model, first["loc"][:-1])
        hint = f"{old} is now {RENAMED[old]}" if old else nearest(str(first["loc"][-1]), known)
        return RecipeError(f"{where} has no key {place!r}", shown(came), hint)
    if kind == "missing" and isinstance(first["loc"][-1], int):  # of a list that is too short
        place = place.rpartition(".")[0]
        return RecipeError(f"{where}: {place}: must be a longer list", shown(came), "give one value for each place")
    if kind == "missing":
        return RecipeError(f"{where} needs the key {place!r}")
    context = first.get("ctx", {})
    raised = context.get("error")
    if isinstance(raised, SlimgenError):
        return RecipeError(f"{where}: {place}: {raised.rule}", raised.got, raised.hint)
    rule = _RULES.get(kind, str(first["msg"]).removeprefix("Value error, ")).format(**context)
    if not place:  # of several keys together
        return RecipeError(f"{where}: {rule}")
    return RecipeError(f"{where}: {place}: {rule}", None if isinstance(came, dict) else shown(came), _hint(kind, came))


def shown(value: object) -> str:
    """A value as it is written in YAML, and not too much of it."""
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else repr(value)
    return str(text)[:80]


def _hint(kind: str, came: object) -> str | None:
    """What to do about a value of the wrong kind."""
    if kind.startswith(("int", "float")) and isinstance(came, str) and came.strip().lstrip("+-")[:1].isdigit():
        return "write the number with digits alone, and without quotes"
    if kind == "string_type" and not isinstance(came, dict | list | None):
        return "put it in quotes"
    return None


def _place(model: type[BaseModel], parts: tuple[int | str, ...]) -> list[str]:
    """Where a value stands: without what pydantic says besides, which of several types was tried."""
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
    """A type without None beside it."""
    others = [one for one in get_args(annotation) if one is not NoneType]
    return others[0] if NoneType in get_args(annotation) and len(others) == 1 else annotation


def _fields(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that a model knows at a place inside it."""
    for part in place:
        known = _fields_of(model)
        inner = _bare(known[str(part)].annotation) if str(part) in known else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(_fields_of(model))


def _fields_of(model: type[BaseModel]) -> dict[str, "FieldInfo"]:
    """The fields of a model, by the keys that they have in a recipe."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
