"""The method `adopted`: an already trained generator is measured and exported as it is.

Nothing is trained or searched. The generator that `teach` imports is evaluated and exported under the name `adopted`,
without an original to compare with.
"""

from collections.abc import Mapping

from slimgen.errors import RecipeError
from slimgen.files import weights_file
from slimgen.methods.checks import check_limits, check_rivals
from slimgen.methods.method import REVERSE, Found, Trained
from slimgen.metrics.registry import find
from slimgen.nets import build_generator
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.search import Genotype, Trial
from slimgen.tasks.task import Job

ADOPTED = "adopted"
ALONE = True
"""There is no original to compare with: the adopted generator is the original."""


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the generator is imported and the recipe asks for no search and no training."""
    if recipe.teach.generator_checkpoint is None:
        rule, hint = "an adopted generator must come with trained weights", "set teach.generator_checkpoint"
        raise RecipeError(rule, "none", hint)
    for name, given in {"supernet": recipe.supernet, "search": recipe.search}.items():
        if given:
            raise RecipeError(f"the method {ADOPTED} searches nothing", f"the section {name}", "leave it out")
    if recipe.finetune.updates != 0:
        rule = "an adopted generator must not be trained"
        got = "finetune.epochs" if recipe.finetune.updates is None else f"finetune.updates {recipe.finetune.updates}"
        raise RecipeError(rule, got, "set finetune.updates to 0")
    check_limits(recipe, ())
    check_rivals(recipe, ())
    for metric in recipe.evaluate.metrics:  # none are needed where there are no targets to compare with
        find(metric)


def supernet(job: Job) -> Mapping[str, float]:
    """Train nothing: there is no supernet."""
    return {"updates": 0.0}


def search(job: Job) -> Found:
    """Return the empty genotype with the generator's costs, and no trials: nothing is searched."""
    costs = job.task.original_cost().as_dict(job.recipe.budget.convention)
    return Found(Trial(Genotype({}), {name: float(cost) for name, cost in costs.items()}), [])


def finetune(job: Job) -> Mapping[str, Trained]:
    """Return the imported generator unchanged, and the reverse direction's where that was imported too."""
    found = {}
    for name, file in {ADOPTED: "generator", f"{ADOPTED}{REVERSE}": "reverse_generator"}.items():
        path = job.inputs["teach"] / weights_file(file)
        if path.is_file():
            net = build_generator(**job.recipe.teach.generator)
            net.load_state_dict(load_weights(path))
            found[name] = Trained.of(net, job.recipe.teach.generator, 0)
    return found
