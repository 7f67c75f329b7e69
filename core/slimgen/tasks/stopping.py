"""Early stopping of an original (`teach.patience`), by a metric on the validation images."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.errors import RecipeError
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.kinds import OfFeatures
from slimgen.metrics.registry import find
from slimgen.recipe import Recipe
from slimgen.tasks.task import Job
from slimgen.training.early_stopping import EarlyStopping


def check_stopping(recipe: Recipe) -> None:
    """Raise RecipeError where early stopping would compare single images in a task without targets."""
    if recipe.teach.patience is not None and not isinstance(find(metric_of(recipe)), OfFeatures):
        rule = f"teach.patience needs a metric of whole sets in the task {recipe.task}, whose images have no targets"
        hint = "set teach.metric to fid, kid, or fd:NAME with a user-defined feature network, or leave patience out"
        raise RecipeError(
            rule, f"{'objective' if recipe.teach.metric is None else 'teach'}.metric {metric_of(recipe)}", hint
        )


def metric_of(recipe: Recipe) -> str:
    """Return the metric of early stopping."""
    return recipe.teach.metric or recipe.objective.metric


def early_stopping(
    job: Job,
    updates: int,
    images: Callable[[], Mapping[str, Pair]],
    ready: Callable[[nn.Module], nn.Module] | None = None,
) -> EarlyStopping | None:
    """Return the early stopping of the recipe's `teach`, or None where it sets no `patience`.

    The two directions of a CycleGAN are one training with one end, so they are measured together, by the mean of the
    metric over both.

    Args:
        job: the job of the stage teach.
        updates: the most updates.
        images: function that returns the validation images of each generator, by its name.
        ready: function that returns a generator under training as it would be used; it must not change its argument.
            None uses it as it is.
    """
    recipe, metric = job.recipe, metric_of(job.recipe)
    if recipe.teach.patience is None or recipe.teach.check_every is None:
        return None
    evaluators = {
        name: Evaluator(pair, [metric], compute=job.compute, features=recipe.evaluate.features)
        for name, pair in images().items()
    }

    def value(net: nn.Module, evaluator: Evaluator) -> float:
        training = net.training
        judged = (net if ready is None else ready(net)).eval()

        def generate(inputs: Tensor) -> Tensor:
            made: Tensor = judged(job.task.condition(inputs))
            return made

        found = evaluator.measure(generate)[metric]
        net.train(training)
        return found

    def measure(nets: Mapping[str, nn.Module]) -> float:
        return sum(value(nets[name], evaluator) for name, evaluator in evaluators.items()) / len(evaluators)

    return EarlyStopping(
        updates,
        recipe.teach.decay,
        every=recipe.teach.check_every,
        patience=recipe.teach.patience,
        measure=measure,
        goal=find(metric).goal,
        name=metric,
    )
