"""What can be wrong with a recipe or its prepared images, found before anything is computed."""

from collections.abc import Callable
from functools import partial

from slimgen.data.prepared import Prepared
from slimgen.errors import CheckpointError, DataError, RecipeError, SlimgenError, WeightsError
from slimgen.methods import open_method
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import check as check_metric
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.nets.weights import require_weights
from slimgen.recipe import Recipe
from slimgen.stages.fingerprint import checkpoints
from slimgen.tasks import check_task
from slimgen.tasks.unconditional import require_sets
from slimgen.training.perceptual import find_network


def check(recipe: Recipe, *, complete: bool = True) -> None:
    """Tries everything of a recipe that can be tried without images: task, original, method, budget, what is wanted.

    Args:
        recipe: of the run.
        complete: whether everything that is `wanted` must be there.

    Raises:
        RecipeError: an unknown task, method or metric, or options that do not go together.
        WeightsError: the file of a feature network is missing.
        CheckpointError: a file of weights to import is missing.
        BudgetError: a budget that no network of the method's space can meet.
    """
    check_task(recipe.task)
    require_sets(recipe)
    if "family" not in recipe.teach.generator:
        raise RecipeError("teach.generator names its family", sorted(recipe.teach.generator), "such as family: resnet")
    generator_cost(height=recipe.size, width=recipe.size, **recipe.teach.generator)
    for fault in wanted(recipe).values():
        if fault is not None and complete:
            raise fault
    open_method(recipe.method).check(recipe)


def wanted(recipe: Recipe) -> dict[str, SlimgenError | None]:
    """What a run needs besides its images, each with its fault or None: metrics, networks of losses, weights to import.

    Raises:
        RecipeError: an unknown metric, or options of its network that make no sense.
    """
    looks: dict[str, Callable[[], object]] = {path: partial(require_weights, path) for path in checkpoints(recipe)}
    network = recipe.losses.perceptual_network
    if recipe.losses.perceptual and network != "discriminator":
        looks[network] = partial(find_network, network)
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        looks[metric] = partial(check_metric, metric, recipe.evaluate.features)
    found: dict[str, SlimgenError | None] = {}
    for name, look in looks.items():
        try:
            look()
            found[name] = None
        except (WeightsError, CheckpointError) as error:
            found[name] = error
    return found


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
