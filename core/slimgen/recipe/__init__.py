"""Typed configuration of a run: what to compress, by which method, to which budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import Field, PrivateAttr, field_validator, model_validator

from slimgen.errors import RecipeError, nearest
from slimgen.files import is_file
from slimgen.recipe.exporting import ExportSection
from slimgen.recipe.names import require_name
from slimgen.recipe.reading import read, read_file, require_moderate, require_plain
from slimgen.recipe.sections import (
    BudgetSection,
    ComputeSection,
    DataSection,
    EvaluateSection,
    ObjectiveSection,
    Sides,
)
from slimgen.recipe.trainings import FinetuneSection, LossesSection, Schedule, TeachSection
from slimgen.recipe.validating import Section, section, shown
from slimgen.size import Size, alike

__all__ = ["Channels", "LossesSection", "Recipe", "Schedule", "Section", "TeachSection", "load", "presets", "section"]


LENGTHS = ("updates", "epochs")
"""Keys of a training of which exactly one says how long it is."""
BASE = "extends"
"""The key of a recipe that names the preset whose values it takes where it gives none."""


class Channels(NamedTuple):
    """Channels of a generator's input pictures and of its output pictures."""

    given: int = 3
    wanted: int = 3


class Recipe(Section):
    """Configuration of one run.

    The method defines and validates the sections `supernet` and `search`. `slimgen.tasks.check_recipe` refuses keys
    that have no effect in the recipe's task. A file may begin with `extends: PRESET` and give only what differs.
    """

    name: str = Field(description="Name of the recipe; folders and MLflow runs are named after it.")
    about: str = Field(default="", description="One line about the recipe, shown in lists and reports.")
    task: str = Field(
        description="What the generator is for: `paired`, `unpaired`, `labels`, `upscale`, `unconditional` or "
        "`single`, or `package.module:Class` of a user-defined task."
    )
    method: str = Field(
        description="Method that searches the small generator, such as `cf_gan` or `gan_compression`, or "
        "`package.module` of a user-defined one."
    )
    quick: bool = Field(
        default=False,
        description="Marks a trial run, as `--quick` does: its card says so, and it never becomes champion.",
    )
    size: Sides = Field(
        default=Size(256, 256),
        description="Size of the images in pixels: one number for a square, or [height, width]. Of a generator that "
        "enlarges, the size of its inputs: of the patches that it is trained on, and for which its costs are counted.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="Seed of everything random; the same recipe with the same seed gives the same result.",
    )
    data: DataSection = Field(
        default=DataSection(), description="Images of a run, and how they are read, resized and divided."
    )
    budget: BudgetSection = Field(default=BudgetSection(), description="Limits on the cost of the found generator.")
    objective: ObjectiveSection = Field(
        default=ObjectiveSection(), description="Metric that the search improves on the validation images."
    )
    compute: ComputeSection = Field(
        default=ComputeSection(), description="Device, number type and threads of the computation."
    )
    losses: LossesSection = Field(
        default=LossesSection(), description="Adversarial loss and the weights of all losses."
    )
    teach: TeachSection = Field(description="Original GAN: trained here, or imported from checkpoints.")
    supernet: dict[str, Any] = Field(
        default_factory=dict, description="Training of the supernet, with the options of the method."
    )
    search: dict[str, Any] = Field(
        default_factory=dict, description="Search in the supernet, with the options of the method."
    )
    finetune: FinetuneSection = Field(description="Training of the found generator and of its rivals.")
    evaluate: EvaluateSection = Field(
        default=EvaluateSection(), description="Measurements of the finished generators on the test images."
    )
    export: ExportSection = Field(default=ExportSection(), description="ONNX files of the found generator.")
    _seen: Channels | None = PrivateAttr(None)

    @property
    def made(self) -> Size:
        """Size of a generator's outputs: `size`, or `data.scale` times as large."""
        return Size(*(self.data.scale * side for side in self.size))

    @property
    def seen(self) -> Channels | None:
        """Channels of the prepared pictures; None before they are prepared."""
        return self._seen

    @property
    def channels(self) -> Channels:
        """Channels of the prepared pictures; before they are prepared, those of `teach.generator`, or 3."""
        says = self.teach.generator
        return self._seen or Channels(*(int(says.get(option, 3)) for option in ("inputs", "outputs")))

    def seeing(self, channels: Channels) -> Self:
        """Return the recipe for prepared pictures with these channels."""
        recipe = self.model_copy()
        recipe._seen = channels
        return recipe

    @model_validator(mode="after")
    def load_suits(self) -> Self:
        """Require `data.load`, from which crops are taken, to be at least `size` and of its aspect ratio."""
        load = self.data.load
        if load is not None and not (self.size.within(load) and alike(self.size, load)):
            raise ValueError(f"'data.load', {load}, must be at least 'size', {self.size}, with the same aspect ratio")
        return self

    @model_validator(mode="after")
    def tolerance_is_measured(self) -> Self:
        """Require the metrics of `export.tolerance` to be among those that are measured."""
        measured = self.evaluate.metrics
        for metric in self.export.tolerance:
            if metric.partition("/")[0] not in measured:
                known = ", ".join(measured) or "none"
                raise ValueError(
                    f"'export.tolerance' must name metrics of 'evaluate.metrics' ({known}), not {metric!r}"
                )
        return self

    @field_validator("name")
    @classmethod
    def plain(cls, value: str) -> str:
        """Require a name that a folder may have."""
        return require_name(value)

    @classmethod
    def parse(cls, text: str, name: str | None = None, where: str = "recipe") -> "Recipe":
        """Read a recipe from YAML text.

        Raises:
            RecipeError: invalid YAML, an unknown key (the message suggests the nearest known one), or a bad value.
        """
        return cls.from_values(read(text, where), name, where)

    @classmethod
    def from_values(cls, values: object, name: str | None = None, where: str = "recipe") -> "Recipe":
        """Build a recipe from plain values, as read from YAML or JSON."""
        if not isinstance(values, dict):
            raise RecipeError(f"{where} must be a mapping of sections", type(values).__name__)
        values = {**({"name": name} if name else {}), **extended(values, where)}
        require_plain(values, where)
        recipe = section(cls, values, where)
        require_moderate(values, where)
        return recipe

    def to_yaml(self) -> str:
        """Return the recipe as YAML text; `parse` reads it back unchanged."""
        return str(yaml.safe_dump(self.model_dump(mode="json", exclude_unset=True), sort_keys=False, width=110))

    def override(self, settings: list[str]) -> "Recipe":
        """Return the recipe with single values replaced: `["search.evaluations=96", "seed=2"]`."""
        given: dict[str, object] = {}
        for setting in settings:
            path, equals, text = setting.partition("=")
            path = path.strip()
            if not equals or not path:
                raise RecipeError("--set must be KEY=VALUE", repr(setting), "such as seed=1 or teach.updates=400")
            given.pop(path, None)  # of a key given twice, the last value counts, and in that order
            given[path] = read(text, f"--set {path}")
        return self.replaced(given)

    def replaced(self, given: Mapping[str, object]) -> "Recipe":
        """Return the recipe with single values replaced, by dotted key: `{"search.evaluations": 96, "seed": 2}`."""
        values = self.model_dump(mode="json", exclude_unset=True)
        for path, value in given.items():
            *parents, last = path.split(".")
            place = values
            for parent in parents:
                place = place.setdefault(parent, {})
                if not isinstance(place, dict):
                    raise RecipeError(f"a setting must name a value in a section, and {parent!r} is none", repr(path))
            place[last] = value
            if last in LENGTHS and value is not None:  # one length takes the place of the other
                for other in LENGTHS:
                    if other != last and ".".join([*parents, other]) not in given:
                        place.pop(other, None)
        return Recipe.from_values(values)


def presets() -> dict[str, Path]:
    """Return the files of the recipes that come with slimgen, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))}


def extended(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the plain values of a recipe, with those of the preset that it `extends` where it gives none.

    A section is merged value by value; a value replaces the preset's as a whole, and one length of a
    training the other.

    Raises:
        RecipeError: no preset has that name.
    """
    if BASE not in values:
        return dict(values)
    known, base, own = presets(), values[BASE], {key: value for key, value in values.items() if key != BASE}
    if base not in known:
        rule = f"{where}: {BASE} must be the name of a recipe that comes with slimgen"
        raise RecipeError(rule, shown(base), nearest(str(base), known))
    inherited = read(known[base].read_text(encoding="utf-8"), f"recipe {base}")
    assert isinstance(inherited, dict)
    found = extended(inherited, f"recipe {base}")
    for key, value in own.items():
        before = found.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            kept = {k: v for k, v in before.items() if not (k in LENGTHS and set(LENGTHS) & value.keys())}
            value = {**kept, **value}
        found[key] = value
    return found


def load(reference: str) -> Recipe:
    """Load a recipe by preset name, by file, or by a key inside a file: `params.yaml#recipes.NAME`.

    Raises:
        RecipeError: no recipe has that name, or the file holds no valid recipe.
    """
    known = presets()
    if reference in known:
        return Recipe.parse(known[reference].read_text(encoding="utf-8"), reference, f"recipe {reference}")
    path, keys = _parted(reference)
    if path is None:
        raise _missing(reference, known)
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


def _missing(reference: str, known: Mapping[str, Path]) -> RecipeError:
    """Say that there is neither a preset nor a file of this name."""
    file = reference.partition("#")[0]
    if Path(file).suffix.lower() in (".yaml", ".yml") or "/" in file:
        close = nearest(Path(file).stem, known)
        hint = f"check the path{f'; {close[:-1]}, a preset?' if close.startswith('did') else ''}"
        return RecipeError(f"cannot read the recipe {file}: no such file", None, hint)
    close = nearest(reference, known)
    hint = close if close.startswith("did") else "slimgen recipes lists the presets"
    return RecipeError(f"there is no recipe {reference!r}, neither a preset nor a YAML file", None, hint)


def _parted(reference: str) -> tuple[Path | None, str]:
    """Return the file of a reference, whose name may contain #, and the keys after it."""
    at = len(reference)
    while at > 0:
        if is_file(reference[:at]):
            return Path(reference[:at]), reference[at + 1 :]
        at = reference.rfind("#", 0, at)
    return None, ""
