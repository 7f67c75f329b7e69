"""What can be wrong with a recipe or its prepared images, found before anything is computed."""

from slimgen.data.prepared import Prepared
from slimgen.errors import DataError, RecipeError
from slimgen.methods import open_method
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import check as check_metric
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe
from slimgen.tasks import check_task
from slimgen.tasks.unconditional import require_sets


def check(recipe: Recipe) -> None:
    """Tries everything of a recipe that can be tried without images: task, original, method, budget, metrics.

    Raises:
        RecipeError: an unknown task, method or metric, or options that do not go together.
        WeightsError: the file of a metric's network is missing.
        BudgetError: a budget that no network of the method's space can meet.
    """
    check_task(recipe.task)
    require_sets(recipe)
    if "family" not in recipe.teach.generator:
        raise RecipeError("teach.generator names its family", sorted(recipe.teach.generator), "such as family: resnet")
    generator_cost(height=recipe.size, width=recipe.size, **recipe.teach.generator)
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        check_metric(metric, recipe.evaluate.features)
    open_method(recipe.method).check(recipe)


def require_suitable(recipe: Recipe, data: Prepared) -> None:
    """Whether the prepared images are of the recipe's task, and its metrics can be measured on them.

    Raises:
        DataError: images for another kind of task; or metrics of single images, and test images without partners to
            compare with.
    """
    train = data.split("train")
    found = "images without inputs" if train.inputless else "pairs" if train.coupled else "two sets"
    wanted = {"unpaired": "two sets", "unconditional": "images without inputs"}.get(recipe.task, "pairs")
    if found != wanted:
        raise DataError(f"images are prepared for the task {recipe.task}", found, "prepare them with this recipe")
    single = [metric for metric in recipe.evaluate.metrics if isinstance(find(metric), PerImage)]
    if single and not data.split("test").paired:
        rule = "metrics of single images need a partner for every test image"
        hint = "set evaluate.metrics to metrics of whole sets: [fid], or [fd:NAME] with a feature network of your own"
        raise DataError(rule, f"{', '.join(single)} of two sets", hint)
