"""A user-defined method: one file and one word in a recipe, without editing slimgen.

The method is simple: it narrows the original. All narrower versions share the original's weights, of which they take
the first channels of each layer. Every width within the budget is measured in this way, and the best is fine-tuned. A
recipe names the module in place of one of slimgen's methods, with Python's path set to the folder that holds
`examples/`:

    PYTHONPATH=. slimgen run examples/own_method.yaml

A method is a module with four functions (see `slimgen.methods.method`): `check` refuses a recipe before anything is
computed; `supernet`, `search` and `finetune` are the bodies of the stages with those names. They use the same library
as slimgen's methods: a network that shares weights is a `Supernet`, `Candidates` measures its sub-networks within the
budget and caches the results, a searcher asks for the next genotypes, and `train_gan` is the task's training, which
continues where it was killed. Slimgen's own methods work in the same way: a folder in `slimgen/methods/` and a line of
`METHODS` in its `__init__.py`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.methods.candidates import Candidates
from slimgen.methods.checks import check_rivals
from slimgen.methods.method import Found, Trained, found_genotype
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.supernet import Arch, Supernet, pinned
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe, Section, section
from slimgen.search import Choice, Exhaustive, Genotype, Space
from slimgen.tasks.gan import GanTraining, original_guidance, train_gan
from slimgen.tasks.task import Job

WEIGHTS = "generator.safetensors"


class SupernetOptions(Section):
    """Section `supernet`: the original itself shares its weights, so there is nothing to set."""


class SearchOptions(Section):
    """Section `search`: all widths are measured."""

    batch: int = Field(default=4, ge=1, description="Number of widths measured in a round of the search.")


SECTIONS = {"supernet": SupernetOptions, "search": SearchOptions}
"""The models of both sections; `slimgen recipes --keys examples.own_method` lists their keys."""


class Narrowable(Supernet):
    """An original whose narrower versions consist of its first channels.

    Args:
        options: the original's options, with its family and `ngf`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = dict(options)
        self.space = Space({"ngf": Choice(tuple(range(1, options["ngf"] + 1)))})
        self.net = build_generator(**options)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Map images (N, C, H, W) through the original at one width."""
        out: Tensor = self.extract(pinned(arch))(images)
        return out

    def extract(self, genotype: Genotype) -> nn.Module:
        """Return a generator of that width, with the leading corner of every weight."""
        net, whole = build_generator(**self.described(genotype)), self.net.state_dict()
        net.load_state_dict(
            {name: whole[name][tuple(map(slice, weight.shape))] for name, weight in net.state_dict().items()}
        )
        return net.train(self.training)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """Return the cost of a generator of that width on one image."""
        return generator_cost(height=height, width=width, **self.described(genotype))

    def described(self, genotype: Genotype) -> dict[str, Any]:
        """Return the original's options at that width."""
        return {**self.options, "ngf": int(genotype["ngf"])}


def check(recipe: Recipe) -> None:
    """Raise RecipeError unless the sections `supernet` and `search` are sound and the original has a width."""
    section(SupernetOptions, recipe.supernet, "supernet")
    section(SearchOptions, recipe.search, "search")
    check_rivals(recipe, ())  # the found generator is a narrowed original itself
    if "ngf" not in recipe.teach.generator:
        raise RecipeError("the original must have a width, ngf, to be narrowed", sorted(recipe.teach.generator))


def supernet(job: Job) -> Mapping[str, float]:
    """Copy the original's weights; train nothing."""
    save_weights(job.out / WEIGHTS, load_weights(job.inputs["teach"] / WEIGHTS))
    return {"updates": 0}


def search(job: Job) -> Found:
    """Measure every width within the budget on the validation images."""
    options, net = section(SearchOptions, job.recipe.search, "search"), original(job)
    candidates = Candidates(job, net)
    candidates.require_reachable(net.space)
    widths = Exhaustive(net.space, candidates.objective, candidates.allows, options.batch)
    trials = candidates.explore("width", widths, net.space.size)
    return candidates.found(trials, {"space_size": float(net.space.size)})


def finetune(job: Job) -> Mapping[str, Trained]:
    """Fine-tune the best width, from the original's first channels and against a new discriminator."""
    net, schedule = original(job), job.recipe.finetune
    genotype = found_genotype(job)
    steps = schedule.steps(len(job.data.split("train")))
    generator, discriminator = job.compute.place(net.extract(genotype)), job.task.discriminator()
    training = GanTraining(
        "found", generator, discriminator, schedule, steps, guidance=original_guidance(job), ema=schedule.ema
    )
    trained = train_gan(job, training)
    options = net.described(genotype)
    return {"found": Trained(trained, options.pop("family"), options, steps)}


def original(job: Job) -> Narrowable:
    """Return the original with the weights that the supernet stage copied, in evaluation mode."""
    net = Narrowable(job.recipe.teach.generator)
    net.net.load_state_dict(load_weights(job.inputs["supernet"] / WEIGHTS))
    return net.eval()
