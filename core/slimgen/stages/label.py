"""Label of a run: its name, and the licence of its images. No result depends on either.

Both are in the record of every stage, and each stage takes the licence of the stages it reads. If a finished stage has
another label than the requested one, its report or card is written again, and nothing is computed.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from slimgen.data.get import source_of
from slimgen.errors import DataError, RecipeError, RunError
from slimgen.recipe import Recipe
from slimgen.recipe.names import require_name
from slimgen.run.folder import StageFolder
from slimgen.run.record import Record, read_record
from slimgen.stages.table import DATA, Stage
from slimgen.tasks.embedded import LICENCE, is_embedded

QUICK = "-quick"
"""Suffix of the names of a trial run and its recipe."""


class Label(NamedTuple):
    """Name of a run, and the licence of its images; None if none was given."""

    name: str
    licence: str | None = None


def label_of(name: str | None, recipe: Recipe, out: Path, folders: Mapping[str, Path]) -> Label:
    """Return the label of a stage in the folder `out`.

    Args:
        name: the run's name; by default that of the folder around the stage's.
        recipe: its `data.licence` takes precedence.
        out: the stage's folder.
        folders: the stage's inputs. The licence of images is known if slimgen drew or downloaded them.

    Raises:
        RunError: the name cannot be a folder's.
    """
    licence = recipe.data.licence
    if licence is None:
        known = (_licence(recipe, kind, folder) for kind, folder in folders.items())
        licence = next(filter(None, known), None)
    shown = checked(name) or out.resolve().parent.name or recipe.name
    return Label(shown + QUICK * (recipe.quick and not shown.endswith(QUICK)), licence)


def checked(name: str | None) -> str | None:
    """Return the name that a user gives to a run; raise RunError if no folder can have it."""
    if name is None:
        return None
    try:
        return require_name(name)
    except RecipeError as error:
        raise RunError(f"--name {error.rule}", error.got, error.hint) from None


def recorded_label(record: Record) -> Label | None:
    """Return the label in a stage's record; None without one."""
    label = record.get("label")
    return Label(str(label["name"]), label.get("licence")) if label and label.get("name") else None


def relabel(
    stage: Stage,
    recipe: Recipe,
    folders: Mapping[str, Path],
    folder: StageFolder,
    record: Record,
    label: Label,
    group: str,
) -> bool:
    """Give a finished stage another label, in its record and in its report or card.

    It gets the group, too: the copy of a run's folder is a separate run. Return whether a report or card was written
    again.
    """
    if recorded_label(record) == label:
        return False
    show = getattr(import_module(f"slimgen.stages.bodies.{stage.name}"), "show", None)
    if show is not None:
        show(recipe, folders, folder.out, label, str(record.get("compute", "")))
    folder.amend({"label": label._asdict(), "group": group})
    return show is not None


def _licence(recipe: Recipe, kind: str, folder: Path) -> str | None:
    """Return the licence of the images in a folder, or of those that a stage's folder was computed from."""
    if kind != DATA:
        label = recorded_label(read_record(folder))
        return None if label is None else label.licence
    if is_embedded(recipe, folder):
        return LICENCE
    try:
        source = source_of(folder)
    except DataError:  # a damaged note counts as none
        return None
    return None if source is None else source.terms
