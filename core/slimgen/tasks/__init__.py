"""Tasks: what a generator is for. Each is one module, named here."""

from collections.abc import Callable

from slimgen.device import Compute
from slimgen.errors import RecipeError, nearest
from slimgen.recipe import Recipe
from slimgen.tasks.paired import Paired

Task = Paired
"""What a method asks of a task."""

TASKS: dict[str, Callable[[Recipe, Compute], Task]] = {"paired": Paired}


def open_task(recipe: Recipe, compute: Compute) -> Task:
    """The task of a recipe.

    Raises:
        RecipeError: an unknown task.
    """
    check_task(recipe.task)
    return TASKS[recipe.task](recipe, compute)


def check_task(name: str) -> None:
    """Raises RecipeError unless there is a task of this name."""
    if name not in TASKS:
        raise RecipeError("a recipe names a task that slimgen knows", repr(name), nearest(name, TASKS))
