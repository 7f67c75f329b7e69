"""The recipe that makes a trained generator smaller: what it is, what the images are like, and the method that suits.

`METHODS` says which methods can take a generator, in the order in which they are tried: the first that can reach the
budget counts. Those that search a space of their own, such as CF-GAN, keep nothing of the generator and train a new one
on the data, for which they need real targets; they are no ways to make this one smaller, but recipes of `slimgen run`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from slimgen.errors import BudgetError, RecipeError
from slimgen.methods import open_method
from slimgen.methods.checks import budget_of
from slimgen.methods.latency import least
from slimgen.nets import generator_cost, noise_length
from slimgen.nets.checkpoints.reading import read_discriminator, read_generator
from slimgen.recipe import Recipe
from slimgen.search.budget import cheapest, plain
from slimgen.size import Size
from slimgen.stages.table import default_out
from slimgen.tasks.adopting import JUDGE
from slimgen.tasks.recognising import SINGLE, Recognised, recognise


class Way(NamedTuple):
    """A method that makes a trained generator smaller.

    Attributes:
        about: why it suits, in a few words; {targets} stands for what the smaller one should return.
        sections: the sections of a recipe that it needs, besides those of every compression.
        families: the generators it takes; None for any that it can cut.
        translating: whether it knows only tasks that translate images to others of the same size.
        adversary: whether it needs the original's discriminator.
    """

    about: str
    sections: Mapping[str, Any]
    families: tuple[str, ...] | None
    translating: bool = False
    adversary: bool = False


TRAINED: Mapping[str, Any] = {"updates": 2000, "batch": 4, "rate": 1.0e-3}
METHODS: Mapping[str, Way] = {
    "pruning": Way(
        "its filters are cut, and {targets} are the targets",
        {"search": {"kind": "evolution", "population": 16, "evaluations": 160}},
        None,
    ),
    "gan_compression": Way(
        "channels of a once-for-all ResNet that is distilled from it",
        {
            "supernet": {
                "pipeline": "fast",
                "space": [[8, 16, 24, 32], [8, 16, 24, 32], *[[16, 24, 32]] * 4, [8, 16, 24, 32], [8, 16, 24, 32]],
                **TRAINED,
            },
            "search": {"kind": "evolution", "population": 24, "elite": 6, "evaluations": 120, "tune": 20},
        },
        ("resnet", "mobile_resnet"),
        translating=True,
        adversary=True,
    ),
}
"""The methods for a trained generator, the first choice first."""


class Asked(NamedTuple):
    """What a user asks for.

    Attributes:
        weights: the file of the generator.
        data: the folder of images.
        generator: family and options; empty to read them from the file.
        limits: the section `budget`.
        task: None to see from the folders of the images.
        size: of the generator's inputs; None for outputs of 256 pixels a side, or of patches as `recognise` says.
        key: the part of the file that holds the generator.
        discriminator: the file of the original's discriminator.
        method: None for the one that suits.
        settings: recipe values to replace, each `key.path=value`.
        out: the run's folder; None for the one that the name decides.
    """

    weights: str
    data: Path
    generator: Mapping[str, Any]
    limits: Mapping[str, Any]
    name: str
    task: str | None = None
    size: Size | None = None
    key: str | None = None
    discriminator: str | None = None
    method: str | None = None
    settings: list[str] | None = None
    out: Path | None = None


class Plan(NamedTuple):
    """The recipe of a compression, and one line on what was read and chosen."""

    recipe: Recipe
    said: str


def plan(asked: Asked) -> Plan:
    """Return the recipe of a compression by the method that suits.

    Raises:
        SlimgenError: the generator or the images are not understood.
        BudgetError: no method reaches the budget; the message names the smallest cost of each.
    """
    if not asked.limits and not any(one.startswith("budget.") for one in asked.settings or ()):
        raise RecipeError("compress needs a budget", "none", "add --budget 1/8, or --latency-ms MS")
    generator = dict(asked.generator) or read_generator(asked.weights, asked.key)
    if noise_length(**generator) is not None:
        rule = "compress takes generators of images"
        raise RecipeError(rule, f"{generator['family']}, a generator of noise", "search one with the method alphagan")
    images = recognise(asked.data, generator, asked.task, asked.size)
    if images.task == SINGLE and asked.discriminator is not None:
        rule = "--discriminator needs real images to compare with: pairs, two sets, or an upscaler's pictures"
        raise RecipeError(rule, images.said, "leave it out")
    tried: dict[str, str] = {}
    suited = False
    for method, way in METHODS.items():
        if asked.method not in (None, method):
            continue
        why = _unfit(way, generator, images, asked)
        if why is None:
            suited = True
            recipe = recipe_of(asked, generator, images, method, way)
            why = out_of_reach(recipe, asked.out or default_out(recipe.name))
            if why is None:
                said = f"{described(generator, recipe)}; {images.said}; method {method}: {_about(way, recipe)}"
                return Plan(recipe, said)
        tried[method] = why
    if not tried:
        raise RecipeError("--method must be one that compresses", repr(asked.method), f"known: {', '.join(METHODS)}")
    said = "; ".join(f"{method} {why}" for method, why in tried.items())
    if not suited:  # only where it was named: pruning takes every generator
        raise RecipeError(said, None, "or leave --method out")
    raise BudgetError(said, None, "raise the budget")


def recipe_of(asked: Asked, generator: Mapping[str, Any], images: Recognised, method: str, way: Way) -> Recipe:
    """Return the recipe of a compression by one method."""
    judge, losses = dict(JUDGE), {"adversarial": 0.0, "recon": 10.0}
    teach: dict[str, Any] = {"generator_checkpoint": asked.weights, "generator_key": asked.key, "updates": 1}
    if asked.discriminator is not None:
        judge, losses = read_discriminator(asked.discriminator), {"adversarial": 1.0, "recon": 10.0}
        teach["discriminator_checkpoint"] = asked.discriminator
    values: dict[str, Any] = {
        "name": asked.name,
        "task": images.task,
        "method": method,
        "size": images.size.plain,
        "data": dict(images.data),
        "budget": dict(asked.limits),
        "losses": losses,
        "teach": {"generator": dict(generator), "discriminator": judge, **teach},
        "finetune": {**TRAINED, "decay": 0.7},
        "evaluate": {"metrics": images.metrics},
        **way.sections,
    }
    recipe = Recipe.from_values(values)
    return recipe.override(asked.settings) if asked.settings else recipe


def _about(way: Way, recipe: Recipe) -> str:
    own = recipe.supernet.get("targets", "original") == "original"
    return way.about.format(targets="its own outputs" if own else "the images")


def _unfit(way: Way, generator: Mapping[str, Any], images: Recognised, asked: Asked) -> str | None:
    """Return why a method does not take a generator, or None."""
    if way.families is not None and generator["family"] not in way.families:
        return f"takes only generators of the families {', '.join(way.families)}"
    if way.translating and not images.translates:
        return f"does not know the task {images.task}"
    if way.adversary and asked.discriminator is None:
        return "needs the original's discriminator too (--discriminator FILE)"
    return None


def out_of_reach(recipe: Recipe, out: Path) -> str | None:
    """Return why a method cannot reach a recipe's budget, with the smallest cost that it can, or None.

    Milliseconds are measured of the smallest network, or taken from the latency table of a run in `out`.

    Raises:
        SlimgenError: the recipe is refused for another reason.
    """
    method = open_method(recipe.method)
    try:
        method.check(recipe)
    except BudgetError as error:
        return f"cannot reach it: {error.rule}"
    previewed = method.preview(recipe)  # type: ignore[attr-defined]
    limits = budget_of(recipe).limits
    slowest = limits.pop("latency_ms", None)  # after what is only counted
    for kind, limit in limits.items():
        _, fewest = cheapest(previewed.space, previewed.costs, kind)
        if fewest > limit:
            return f"reaches {plain(fewest)} {kind} at the least, and the limit is {plain(limit)}"
    if slowest is None or previewed.networks is None:
        return None
    if (shortest := least(recipe, previewed.networks(), out / "search")) > slowest:
        shown = plain(math.ceil(shortest * 1000) / 1000)
        return f"reaches {shown} ms in onnxruntime at the least, and the limit is {plain(slowest)}"
    return None


def described(generator: Mapping[str, Any], recipe: Recipe) -> str:
    """Return a generator in words, with its cost."""
    options = ", ".join(f"{name} {value}" for name, value in generator.items() if name != "family")
    cost = generator_cost(**recipe.size._asdict(), **generator)
    macs = cost.macs(recipe.budget.convention)
    words = f"{generator['family']} ({options})" if options else generator["family"]
    return f"{words}, {macs:,} MACs at {recipe.size}, {cost.params:,} parameters"
