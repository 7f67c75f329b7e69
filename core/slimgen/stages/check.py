"""What can be wrong with a recipe, found before anything is computed."""

from collections.abc import Callable
from functools import partial

from slimgen.errors import CheckpointError, SlimgenError, WeightsError
from slimgen.methods import open_method
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import check as check_metric
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.nets.weights import require_weights
from slimgen.recipe import Recipe
from slimgen.stages.fingerprint import checkpoints
from slimgen.tasks import check_recipe
from slimgen.training.losses import find_network


def check(recipe: Recipe, *, complete: bool = True) -> None:
    """Tries everything of a recipe that can be tried without images; what is `wanted` must be there if `complete`.

    Raises:
        RecipeError: an unknown task, method or metric, or options that do not go together.
        WeightsError: the file of a feature network is missing.
        CheckpointError: a file of weights to import is missing.
        BudgetError: a budget that no network of the method's space can meet.
    """
    check_recipe(recipe)
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
        if getattr(find(metric), "check", None) is not PerImage._field_defaults["check"]:  # pixels alone need nothing
            looks[metric] = partial(check_metric, metric, recipe.evaluate.features)
    found: dict[str, SlimgenError | None] = {}
    for name, look in looks.items():
        try:
            look()
            found[name] = None
        except (WeightsError, CheckpointError) as error:
            found[name] = error
    return found
