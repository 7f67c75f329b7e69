"""The keys of a recipe, read off the models that validate it: name, type, default, meaning. No torch.

`slimgen recipes --keys` prints them, and the reference of the documentation is made of them.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from slimgen.recipe import Recipe
from slimgen.size import Size

OF_METHODS = ("supernet", "search")
"""The sections that a method has of its own; their keys are those of its models."""

_ENTRY = re.compile(r"    (?P<name>\w+): (?P<text>.*)")
_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "anything", object: "anything"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
REQUIRED, NOTHING = "required", "none"


@dataclass(frozen=True)
class Key:
    """One key of a recipe.

    Attributes:
        name: dotted, as `--set` takes it.
        kind: its type and limits, in words.
        default: as in YAML; `required` where there is no default, `none` where leaving it out has a meaning of its own.
        meaning: what it does, in a phrase.
    """

    name: str
    kind: str
    default: str
    meaning: str


def shared_keys() -> list[Key]:
    """Return the keys that recipes of every method have; those of a method's own sections are left out."""
    return [key for key in keys_of(Recipe) if key.name not in OF_METHODS]


def keys_of(model: type[BaseModel], prefix: str = "", documented: type | None = None) -> Iterator[Key]:
    """Yield the keys of a model, each section's own behind it.

    Args:
        model: a section of a recipe, or a recipe.
        prefix: of the names, such as `search.`.
        documented: the class whose docstring says what keys without a description mean; the model by default.
    """
    said = meanings(documented or model)
    for field_name, field in model.model_fields.items():
        name = field.alias or field_name
        inner = _section(field.annotation)
        if inner is None or NoneType in get_args(field.annotation):  # a section that may be null has its own meaning
            kind = kind_of(field) if inner is None else "section"
            yield Key(f"{prefix}{name}", kind, default_of(field), field.description or said.get(name, ""))
        if inner is not None:
            yield from keys_of(inner, f"{prefix}{name}.")


def meanings(documented: type) -> dict[str, str]:
    """Return what the `Attributes:` of a class and of those that it inherits from say, by name."""
    found: dict[str, str] = {}
    for parent in reversed(documented.__mro__):
        _, _, block = inspect.cleandoc(parent.__dict__.get("__doc__") or "").partition("Attributes:\n")
        name = ""
        for line in block.splitlines():
            if line and not line.startswith(" "):
                break
            if entry := _ENTRY.fullmatch(line):
                name = entry["name"]
                found[name] = entry["text"]
            elif name and line.strip():
                found[name] += f" {line.strip()}"
    return found


def kind_of(field: FieldInfo) -> str:
    """Return the type of a field in words, with its limits: `whole number, at least 1`."""
    return ", ".join([_kind(field.annotation), *_limits(field.metadata)])


def default_of(field: FieldInfo) -> str:
    """Return a field's default as it is written in YAML."""
    if field.is_required():
        return REQUIRED
    value: object = field.get_default(call_default_factory=True)
    if value is None:
        return NOTHING
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    plain = value.plain if isinstance(value, Size) else value
    return json.dumps(plain, ensure_ascii=False).replace('"', "") or "''"


def _kind(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([_kind(parts[0]), *_limits(parts[1:])])
    if origin is Literal:
        return " | ".join(str(part) for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in parts if part is not NoneType)
    if annotation is Size:
        return "pixels, or [height, width]"
    if origin is tuple:
        many = len(parts) == 2 and parts[1] is Ellipsis
        return f"list, each {_kind(parts[0])}" if many else f"list of {len(parts)}, each {_kind(parts[0])}"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if origin is not None and parts:  # a sequence
        return f"list, each {_kind(parts[0])}"
    return _NAMES.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _limits(metadata: Any) -> list[str]:
    """Return the limits that pydantic keeps, of which some are inside a `Field` of an alias."""
    inner = [each for one in metadata if isinstance(one, FieldInfo) for each in one.metadata]
    every = [*metadata, *inner]
    return [f"{word} {getattr(one, name):,}" for one in every for name, word in _BOUNDS.items() if hasattr(one, name)]


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, if it holds one."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None
