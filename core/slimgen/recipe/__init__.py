"""The typed configuration of a run: what to compress, by which method, to which budget."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import Field, PrivateAttr, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.recipe.sections import (
    BudgetSection,
    ComputeSection,
    DataSection,
    EvaluateSection,
    ExportSection,
    FinetuneSection,
    LossesSection,
    ObjectiveSection,
    Schedule,
    Sides,
    TeachSection,
)
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
    seed: int = Field(default=0, ge=0)
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

    @classmethod
    def parse(cls, text: str, name: str | None = None, where: str = "recipe") -> "Recipe":
        """A recipe from YAML text.

        Raises:
            RecipeError: no valid YAML, an unknown key (the nearest known one is suggested) or a bad value.
        """
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"{where} must be YAML", str(error)) from None
        return cls.from_values(values, name, where)

    @classmethod
    def from_values(cls, values: object, name: str | None = None, where: str = "recipe") -> "Recipe":
        """A recipe from plain values, as YAML or JSON give them."""
        if not isinstance(values, dict):
            raise RecipeError(f"{where} must be a mapping of sections", type(values).__name__)
        return section(cls, {**({"name": name} if name else {}), **values}, where)

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
            try:
                place[last] = yaml.safe_load(text)
            except yaml.YAMLError:
                raise RecipeError("a setting's value is YAML", repr(setting)) from None
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
    file, _, keys = reference.partition("#")
    path = Path(file)
    if not path.is_file():
        raise RecipeError("a recipe is a preset's name or a YAML file", repr(reference), nearest(reference, known))
    try:
        text = path.read_text(encoding="utf-8")
        if not keys:
            return Recipe.parse(text, path.stem, f"recipe {path}")
        values: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} must be YAML", str(error)) from None
    first, _, rest = keys.partition(".")
    for key in (first, rest) if rest else (first,):
        if not isinstance(values, dict) or key not in values:
            raise RecipeError(f"{path} has no key {keys!r}", None, nearest(key, values or ()))
        values = values[key]
    return Recipe.from_values(values, rest or first, f"recipe {reference}")
