"""Tasks, the purposes of generators. Each is a class in its own module, named here or by import path in a recipe."""

from itertools import chain
from typing import TYPE_CHECKING, cast

from slimgen.errors import DataError, RecipeError
from slimgen.imports import named
from slimgen.nets import check_network
from slimgen.tasks.traits import OF_SCALES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from slimgen.device import Compute
    from slimgen.recipe import Recipe
    from slimgen.tasks.task import Task
    from slimgen.tasks.traits import Traits

TASKS = {
    "paired": "slimgen.tasks.paired:Paired",
    "unpaired": "slimgen.tasks.unpaired:Unpaired",
    "labels": "slimgen.tasks.labels:Labels",
    "upscale": "slimgen.tasks.upscale:Upscale",
    "unconditional": "slimgen.tasks.unconditional:Unconditional",
    "single": "slimgen.tasks.single:Single",
}
"""Name to class, imported only when a recipe asks for it."""


def task_class(name: str) -> "type[Task]":
    """Return the class of a task by name, or of a user-defined one by `package.module:Class`.

    Raises:
        RecipeError: an unknown task, or an import path that fails or leads to something else.
    """
    from slimgen.tasks.traits import Traits

    found = named("task", name, TASKS)
    if not (isinstance(found, type) and isinstance(getattr(found, "traits", None), Traits)):
        rule = "a task must be a class with traits, such as slimgen.tasks.paired:Paired"
        raise RecipeError(rule, f"{name!r}, which is {found!r}"[:200])
    return cast("type[Task]", found)


def traits_of(recipe: "Recipe") -> "Traits":
    """Return the traits of a recipe's task."""
    return task_class(recipe.task).traits


def check_recipe(recipe: "Recipe") -> None:
    """Check a recipe as far as its task can without images.

    Raises:
        RecipeError: an unknown task, keys that have no effect in it, or values that do not fit together.
    """
    kind, refused = task_class(recipe.task), []
    for noun in ("generator", "discriminator"):
        check_network(noun, getattr(recipe.teach, noun), f"teach.{noun}")
    apart = {} if kind.traits.enlarges else OF_SCALES
    for section, keys in chain(kind.traits.refused.items(), apart.items()):
        values = getattr(recipe, section)
        given = values if isinstance(values, dict) else values.model_fields_set
        refused += [f"{section}.{key}" for key in keys if key in given]
    if refused:
        verb, which = ("has", "it") if len(refused) == 1 else ("have", "them")
        keys_given = " and ".join(refused)
        raise RecipeError(f"{keys_given} {verb} no effect in the task {recipe.task}", None, f"leave {which} out")
    kind.check(recipe)
    if (own := recipe.teach.losses) is not None:
        teach = recipe.teach.model_copy(update={"losses": None})
        check_recipe(recipe.model_copy(update={"losses": own, "teach": teach}))


def suited(recipe: "Recipe", folders: "Mapping[str, Path | None]") -> "Recipe":
    """Return the recipe with the channels of its prepared pictures, if a folder of `prepare` is given.

    Raises:
        RecipeError: the recipe sets other channels, or its metrics or losses do not take these.
        DataError: the pictures were prepared for another kind of task, without inputs.
    """
    from slimgen.tasks.channels import prepared_channels
    from slimgen.tasks.traits import NOISE

    folder = folders.get("prepare")
    channels = None if folder is None else prepared_channels(folder)
    if channels is None:
        return recipe
    check_recipe(recipe)
    traits = traits_of(recipe)
    if not (channels.given or traits.given == NOISE or traits.single):
        rule = f"the images must be prepared for the task {recipe.task}"
        raise DataError(rule, "images without inputs", "prepare them with this recipe")
    return task_class(recipe.task).suited(recipe, channels)


def open_task(recipe: "Recipe", compute: "Compute") -> "Task":
    """Check a recipe and create its task.

    Raises:
        RecipeError: as `check_recipe`.
    """
    check_recipe(recipe)
    return task_class(recipe.task)(recipe, compute)
