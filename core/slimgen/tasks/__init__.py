"""Tasks: what a generator is for. Each is a class in a module, named here or in a recipe."""

from typing import TYPE_CHECKING, cast

from slimgen.errors import DataError, RecipeError
from slimgen.imports import named
from slimgen.nets import check_network

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
    "unconditional": "slimgen.tasks.unconditional:Unconditional",
    "single": "slimgen.tasks.single:Single",
}
"""Name to class, imported only when a recipe asks for it."""


def task_class(name: str) -> "type[Task]":
    """A task by name, or a user-defined one by its class, `package.module:Class`; not yet opened.

    Raises:
        RecipeError: an unknown task, a class that cannot be imported, or something else.
    """
    from slimgen.tasks.traits import Traits

    found = named("task", name, TASKS)
    if not (isinstance(found, type) and isinstance(getattr(found, "traits", None), Traits)):
        rule = "a task is a class with traits, such as slimgen.tasks.paired:Paired"
        raise RecipeError(rule, f"{name!r}, which is {found!r}"[:200])
    return cast("type[Task]", found)


def traits_of(recipe: "Recipe") -> "Traits":
    """What the task of a recipe is like."""
    return task_class(recipe.task).traits


def check_recipe(recipe: "Recipe") -> None:
    """Tries what the task of a recipe can try without images.

    Raises:
        RecipeError: an unknown task, keys that have no effect in it, or values that make no sense.
    """
    kind, refused = task_class(recipe.task), []
    for noun in ("generator", "discriminator"):
        check_network(noun, getattr(recipe.teach, noun), f"teach.{noun}")
    for section, keys in kind.traits.refused.items():
        values = getattr(recipe, section)
        given = values if isinstance(values, dict) else values.model_fields_set
        refused += [f"{section}.{key}" for key in keys if key in given]
    if not kind.traits.single and "scale" in recipe.data.model_fields_set:
        refused.append("data.scale")
    if refused:
        verb = "has" if len(refused) == 1 else "have"
        raise RecipeError(f"{' and '.join(refused)} of a recipe {verb} no effect in the task {recipe.task}")
    kind.check(recipe)
    if (own := recipe.teach.losses) is not None:
        teach = recipe.teach.model_copy(update={"losses": None})
        check_recipe(recipe.model_copy(update={"losses": own, "teach": teach}))


def suited(recipe: "Recipe", folders: "Mapping[str, Path | None]") -> "Recipe":
    """A recipe once its pictures are prepared, where these are among the folders of stages: with their channels.

    Raises:
        RecipeError: the recipe says otherwise, or pictures of such channels cannot be measured as it wants.
        DataError: they were prepared for another kind of task, without inputs.
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
        rule = f"images are prepared for the task {recipe.task}"
        raise DataError(rule, "images without inputs", "prepare them with this recipe")
    return task_class(recipe.task).suited(recipe, channels)


def open_task(recipe: "Recipe", compute: "Compute") -> "Task":
    """The task of a recipe.

    Raises:
        RecipeError: as `check_recipe`.
    """
    check_recipe(recipe)
    return task_class(recipe.task)(recipe, compute)
