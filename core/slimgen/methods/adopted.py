"""No method: a generator that is trained already goes through evaluate and export as it is.

Nothing is trained or searched. What `teach` imports is what is measured and exported, alone, under the name `adopted`.
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
"""There is no original to compare with: it is what was adopted."""


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the generator is imported, and nothing is asked for that only a search could do."""
    if recipe.teach.generator_checkpoint is None:
        rule, hint = "a generator that is adopted is trained already", "name teach.generator_checkpoint"
        raise RecipeError(rule, "no weights of it", hint)
    for name, given in {"supernet": recipe.supernet, "search": recipe.search}.items():
        if given:
            raise RecipeError(f"nothing is searched for in the method {ADOPTED}", f"the section {name}", "leave it out")
    if recipe.finetune.updates != 0:
        rule = "a generator that is adopted stays as it is"
        raise RecipeError(rule, "a training of it", "set finetune.updates to 0")
    check_limits(recipe, ())
    check_rivals(recipe, ())
    for metric in recipe.evaluate.metrics:  # or none, where nobody knows what should be made
        find(metric)


def supernet(job: Job) -> Mapping[str, float]:
    """Nothing: there is no weight-sharing network."""
    return {"updates": 0.0}


def search(job: Job) -> Found:
    """Nothing is chosen: the empty genotype, with what the generator costs, and no trials."""
    costs = job.task.original_cost().as_dict(job.recipe.budget.convention)
    return Found(Trial(Genotype({}), {name: float(cost) for name, cost in costs.items()}), [])


def finetune(job: Job) -> Mapping[str, Trained]:
    """Return the imported generator as it came, and that of the reverse direction where it was imported too."""
    found = {}
    for name, file in {ADOPTED: "generator", f"{ADOPTED}{REVERSE}": "reverse_generator"}.items():
        path = job.inputs["teach"] / weights_file(file)
        if path.is_file():
            net = build_generator(**job.recipe.teach.generator)
            net.load_state_dict(load_weights(path))
            found[name] = Trained.of(net, job.recipe.teach.generator, 0)
    return found
