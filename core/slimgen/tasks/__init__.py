"""Tasks: what a generator is for. Each is one module, named here."""

import importlib
from typing import TYPE_CHECKING, cast

from slimgen.errors import RecipeError, nearest

if TYPE_CHECKING:
    from slimgen.device import Compute
    from slimgen.recipe import Recipe
    from slimgen.tasks.task import Task

TASKS = {
    "paired": "slimgen.tasks.paired:Paired",
    "unpaired": "slimgen.tasks.unpaired:Unpaired",
    "labels": "slimgen.tasks.labels:Labels",
    "unconditional": "slimgen.tasks.unconditional:Unconditional",
}
"""Name to class, imported only when a recipe asks for it."""


def open_task(recipe: "Recipe", compute: "Compute") -> "Task":
    """The task of a recipe.

    Raises:
        RecipeError: an unknown task.
    """
    check_task(recipe.task)
    module, _, name = TASKS[recipe.task].partition(":")
    return cast("Task", getattr(importlib.import_module(module), name)(recipe, compute))


def check_task(name: str) -> None:
    """Raises RecipeError unless there is a task of this name."""
    if name not in TASKS:
        raise RecipeError("a recipe names a task that slimgen knows", repr(name), nearest(name, TASKS))
