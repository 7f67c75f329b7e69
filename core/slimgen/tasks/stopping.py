"""When an original has stopped improving: `teach.patience`, by a metric on the validation images."""

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
    """Raises RecipeError where originals whose images have no truth are to be measured by one."""
    if recipe.teach.patience is not None and not isinstance(find(metric_of(recipe)), OfFeatures):
        rule = f"teach.patience measures originals of the task {recipe.task} on whole sets, as no image has its truth"
        hint = "set teach.metric to fid, kid, or fd:NAME with a feature network of your own, or leave patience out"
        raise RecipeError(
            rule, f"{'objective' if recipe.teach.metric is None else 'teach'}.metric {metric_of(recipe)}", hint
        )


def metric_of(recipe: Recipe) -> str:
    """What originals are measured by while they are trained."""
    return recipe.teach.metric or recipe.objective.metric


def early_stopping(
    job: Job,
    updates: int,
    images: Callable[[], Mapping[str, Pair]],
    ready: Callable[[nn.Module], nn.Module] | None = None,
) -> EarlyStopping | None:
    """The rule of the recipe's `teach`, or None where it has none; its facts are worth noting of the training.

    The two directions of a CycleGAN are one training that ends at one update, so they are measured together: by the
    mean of their values, which are of one metric.

    Args:
        job: of the stage teach.
        updates: at most.
        images: validation images by the name of the generator that is given them.
        ready: a generator amid its training as it would be used, if not as it is; must not change it.
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
