"""The typed configuration of a run: what to compress, by which method, to which budget."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import Field, PrivateAttr, field_validator, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.files import is_file
from slimgen.recipe.names import require_name
from slimgen.recipe.reading import read, read_file, require_moderate, require_plain
from slimgen.recipe.sections import (
    BudgetSection,
    ComputeSection,
    DataSection,
    EvaluateSection,
    ExportSection,
    ObjectiveSection,
    Sides,
)
from slimgen.recipe.trainings import FinetuneSection, LossesSection, Schedule, TeachSection
from slimgen.recipe.validating import Section, section
from slimgen.size import Size, alike

__all__ = ["Channels", "LossesSection", "Recipe", "Schedule", "Section", "TeachSection", "load", "presets", "section"]


class Channels(NamedTuple):
    """Of the pictures that a generator is given, and of those that it makes."""

    given: int = 3
    wanted: int = 3


class Recipe(Section):
    """One run, whole. `supernet` and `search` are the method's own; it validates them as strictly.

    `size` is of the pictures: pixels of a square, or [height, width]. Which keys have an effect in the task, the task
    says: see `slimgen.tasks.check_recipe`.
    """

    name: str
    about: str = ""
    task: str
    method: str
    size: Sides = Size(256, 256)
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataSection = DataSection()
    budget: BudgetSection = BudgetSection()
    objective: ObjectiveSection = ObjectiveSection()
    compute: ComputeSection = ComputeSection()
    losses: LossesSection = LossesSection()
    teach: TeachSection
    supernet: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Any] = Field(default_factory=dict)
    finetune: FinetuneSection
    evaluate: EvaluateSection = EvaluateSection()
    export: ExportSection = ExportSection()
    _seen: Channels | None = PrivateAttr(None)

    @property
    def seen(self) -> Channels | None:
        """The channels of the pictures that were prepared; None before they are."""
        return self._seen

    @property
    def channels(self) -> Channels:
        """Of the pictures that were prepared; before they are, as `teach.generator` says, or of RGB."""
        says = self.teach.generator
        return self._seen or Channels(*(int(says.get(option, 3)) for option in ("inputs", "outputs")))

    def seeing(self, channels: Channels) -> Self:
        """The recipe once the channels of its pictures are known."""
        recipe = self.model_copy()
        recipe._seen = channels
        return recipe

    @model_validator(mode="after")
    def load_suits(self) -> Self:
        """Training images, of which crops are taken, are as large as these and of their aspect."""
        load = self.data.load
        if load is not None and not (self.size.within(load) and alike(self.size, load)):
            raise ValueError(f"'data.load', {load}, must be at least 'size', {self.size}, and of its aspect")
        return self

    @field_validator("name")
    @classmethod
    def plain(cls, value: str) -> str:
        """A name that may be that of a folder."""
        return require_name(value)

    @classmethod
    def parse(cls, text: str, name: str | None = None, where: str = "recipe") -> "Recipe":
        """A recipe from YAML text.

        Raises:
            RecipeError: no valid YAML, an unknown key (the nearest known one is suggested) or a bad value.
        """
        return cls.from_values(read(text, where), name, where)

    @classmethod
    def from_values(cls, values: object, name: str | None = None, where: str = "recipe") -> "Recipe":
        """A recipe from plain values, as YAML or JSON give them."""
        if not isinstance(values, dict):
            raise RecipeError(f"{where} must be a mapping of sections", type(values).__name__)
        values = {**({"name": name} if name else {}), **values}
        require_plain(values, where)
        recipe = section(cls, values, where)
        require_moderate(values, where)
        return recipe

    def to_yaml(self) -> str:
        """The recipe as YAML text; `parse` reads it back unchanged."""
        return str(yaml.safe_dump(self.model_dump(mode="json", exclude_unset=True), sort_keys=False, width=110))

    def override(self, settings: list[str]) -> "Recipe":
        """The recipe with single values replaced: `["search.evaluations=96", "seed=2"]`."""
        values = self.model_dump(mode="json", exclude_unset=True)
        for setting in settings:
            path, equals, text = setting.partition("=")
            if not equals:
                raise RecipeError("a setting reads key.path=value", repr(setting))
            *parents, last = path.split(".")
            place = values
            for parent in parents:
                place = place.setdefault(parent, {})
                if not isinstance(place, dict):
                    raise RecipeError("a setting names a value inside sections", repr(path))
            place[last] = read(text, f"--set {path}")
        return Recipe.from_values(values)


def presets() -> dict[str, Path]:
    """The recipes that come with slimgen: name to file."""
    return {path.stem: path for path in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))}


def load(reference: str) -> Recipe:
    """A recipe by preset name, by file, or by a key inside a file: `params.yaml#recipes.NAME`.

    Raises:
        RecipeError: nothing of that name, or what is there is no recipe.
    """
    known = presets()
    if reference in known:
        return Recipe.parse(known[reference].read_text(encoding="utf-8"), reference, f"recipe {reference}")
    path, keys = _parted(reference)
    if path is None:
        raise RecipeError("a recipe is a preset's name or a YAML file", repr(reference), nearest(reference, known))
    text, where = read_file(path, f"recipe {path}"), f"recipe {path}"
    if not keys:
        return Recipe.parse(text, path.stem, where)
    values: Any = read(text, where)
    first, _, rest = keys.partition(".")
    for key in (first, rest) if rest else (first,):
        if not isinstance(values, dict) or key not in values:
            hint = nearest(key, map(str, values)) if isinstance(values, dict) and values else None
            raise RecipeError(f"{path} has no key {keys!r}", None, hint)
        values = values[key]
    return Recipe.from_values(values, rest or first, f"recipe {reference}")


def _parted(reference: str) -> tuple[Path | None, str]:
    """The file that is meant, which may have # in its name, and the keys behind it."""
    at = len(reference)
    while at > 0:
        if is_file(reference[:at]):
            return Path(reference[:at]), reference[at + 1 :]
        at = reference.rfind("#", 0, at)
    return None, ""
