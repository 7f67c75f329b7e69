"""Sections of recipes: how values are checked against them, and keys that have another name now."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from slimgen.errors import RecipeError, nearest

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

SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """A part of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def section(model: type[SectionT], values: Mapping[str, Any], where: str) -> SectionT:
    """Validates values against a section's model, with errors of one line.

    Raises:
        RecipeError: naming the place, the rule and what came; for an unknown key, the nearest known one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            # Sections of a method's own are validated by themselves, under their names.
            old = next((key for key in (place, f"{where}.{place}") if key in RENAMED), None)
            known = _fields(model, first["loc"][:-1])
            hint = f"{old} is now {RENAMED[old]}" if old else nearest(str(first["loc"][-1]), known)
            raise RecipeError(f"{where} has no key {place!r}", repr(first["input"]), hint) from None
        if first["type"] == "missing":
            raise RecipeError(f"{where} needs the key {place!r}") from None
        rule = str(first["msg"]).removeprefix("Value error, ")
        if not place:  # of several keys together
            raise RecipeError(f"{where}: {rule}") from None
        came = None if isinstance(first["input"], dict) else repr(first["input"])[:80]  # not a whole section
        raise RecipeError(f"{where}: {place}: {rule}", came) from None


def _fields(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that a model knows at a place inside it."""
    for part in place:
        inner = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)
