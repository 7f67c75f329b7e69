"""The recipe that makes a trained generator smaller: what it is, what the images are like, and the method that suits.

`METHODS` says which methods can take a generator, in the order in which they are tried: the first that can reach the
budget counts.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from slimgen.data.high_resolution import find_scaled
from slimgen.data.layouts import Files, find_pairs, find_sets
from slimgen.data.prepare_images import find_images
from slimgen.errors import BudgetError, DataError, RecipeError
from slimgen.methods import open_method
from slimgen.methods.checks import budget_of
from slimgen.nets import generator_cost, noise_length
from slimgen.nets.checkpoints.reading import read_discriminator, read_generator
from slimgen.recipe import Recipe
from slimgen.search.budget import cheapest, plain
from slimgen.size import Size
from slimgen.tasks.adopting import ENLARGED, JUDGE, MADE
from slimgen.tasks.single import scale_of
from slimgen.tasks.upscale import SCALES

VALIDATION = 32  # the most images that are held out to compare candidates
PAIRED, UNPAIRED, SINGLE, UPSCALE = "paired", "unpaired", "single", "upscale"
PATCH = 128
"""Pixels a side of the patches that an upscaler is trained to make (ESRGAN, section 4.1)."""
_METRICS = {
    PAIRED: ("psnr", "ssim"),
    UNPAIRED: ("patch_swd",),
    SINGLE: ("psnr", "ssim"),
    UPSCALE: ("psnr_y", "ssim_y"),
}


class Way(NamedTuple):
    """A method that makes a trained generator smaller.

    Attributes:
        about: why it suits, in a few words; {targets} stands for what the smaller one should return.
        sections: the sections of a recipe that it needs, besides those of every compression.
        families: the generators it takes; None for any that it can cut.
        tasks: the tasks that it knows.
        adversary: whether it needs the original's discriminator.
    """

    about: str
    sections: Mapping[str, Any]
    families: tuple[str, ...] | None
    tasks: tuple[str, ...]
    adversary: bool = False


TRAINED: Mapping[str, Any] = {"updates": 2000, "batch": 4, "rate": 1.0e-3}
METHODS: Mapping[str, Way] = {
    "pruning": Way(
        "its filters are cut, and {targets} are the targets",
        {"search": {"kind": "evolution", "population": 16, "evaluations": 160}},
        None,
        (PAIRED, UNPAIRED, SINGLE, UPSCALE),
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
        (PAIRED, UNPAIRED),
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
        size: of the generator's inputs; None for outputs of 256 pixels a side, or of `PATCH` for the task upscale.
        key: the part of the file that holds the generator.
        discriminator: the file of the original's discriminator.
        method: None for the one that suits.
        settings: recipe values to replace, each `key.path=value`.
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
    images = look(asked, generator)
    tried: dict[str, str] = {}
    for method, way in METHODS.items():
        if asked.method not in (None, method):
            continue
        why = _unfit(way, generator, images.task, asked)
        if why is None:
            recipe = recipe_of(asked, generator, images, method, way)
            why = out_of_reach(recipe)
            if why is None:
                said = f"{described(generator, recipe)}; {images.said}; method {method}: {_about(way, recipe)}"
                return Plan(recipe, said)
        tried[method] = why
    if not tried:
        raise RecipeError("--method must be one that compresses", repr(asked.method), f"known: {', '.join(METHODS)}")
    raise BudgetError("; ".join(f"{method} {why}" for method, why in tried.items()), None, "raise the budget")


class Images(NamedTuple):
    """What a folder of images is like: the task, the enlargement, the number of training images, and in words."""

    task: str
    scale: int
    train: int
    tested: bool
    said: str


def look(asked: Asked, generator: Mapping[str, Any]) -> Images:
    """Return the task that a generator and a folder of images suit, the latter by its layout.

    Raises:
        DataError: there are no images, or not in a layout of the named task.
    """
    scale = scale_of(generator, asked.size or MADE)
    looks: dict[str, Callable[[], Files[Any]]] = {
        UPSCALE: lambda: find_scaled(asked.data, scale),
        PAIRED: lambda: find_pairs(asked.data, "AtoB", tested=False),
        UNPAIRED: lambda: find_sets(asked.data, "AtoB", tested=False),
        SINGLE: lambda: find_images(asked.data),
    }
    if asked.task is not None and asked.task not in looks:
        raise RecipeError("--task must be one that compress knows", repr(asked.task), f"known: {', '.join(looks)}")
    suited = (PAIRED, UNPAIRED, SINGLE) if scale == 1 else (UPSCALE,) if scale in SCALES else (SINGLE,)
    *others, last = suited if asked.task is None else (asked.task,)
    for task in others:
        with suppress(DataError):
            return _images(task, scale, looks[task]())
    return _images(last, scale, looks[last]())


def _images(task: str, scale: int, files: Files[Any]) -> Images:
    count, tested = len(files.splits["train"]), bool(files.splits.keys() & {"test", "val"})
    return Images(task, scale, count, tested, f"{task} images ({files.layout}, {count} to train on)")


def recipe_of(asked: Asked, generator: Mapping[str, Any], images: Images, method: str, way: Way) -> Recipe:
    """Return the recipe of a compression by one method."""
    scale, metrics = images.scale, _METRICS[images.task]
    data: dict[str, Any] = {"validation": max(1, min(VALIDATION, images.train // 8))}
    size = asked.size or (_patch(scale) if images.task == UPSCALE else Size(*(side // scale for side in MADE)))
    if scale > 1 and images.task in (UPSCALE, SINGLE):
        data["scale"] = scale
        metrics = ENLARGED if images.task == SINGLE else metrics
    if not images.tested and images.task != SINGLE:
        data["test"] = max(1, images.train // 10)
    judge, losses = dict(JUDGE), {"adversarial": 0.0, "recon": 10.0}
    teach: dict[str, Any] = {"generator_checkpoint": asked.weights, "generator_key": asked.key, "updates": 1}
    if asked.discriminator is not None:
        judge, losses = read_discriminator(asked.discriminator), {"adversarial": 1.0, "recon": 10.0}
        teach["discriminator_checkpoint"] = asked.discriminator
    values: dict[str, Any] = {
        "name": asked.name,
        "task": images.task,
        "method": method,
        "size": size.plain,
        "data": data,
        "budget": dict(asked.limits),
        "losses": losses,
        "teach": {"generator": dict(generator), "discriminator": judge, **teach},
        "finetune": {**TRAINED, "decay": 0.7},
        "evaluate": {"metrics": metrics},
        **way.sections,
    }
    recipe = Recipe.from_values(values)
    return recipe.override(asked.settings) if asked.settings else recipe


def _about(way: Way, recipe: Recipe) -> str:
    own = recipe.supernet.get("targets", "original") == "original"
    return way.about.format(targets="its own outputs" if own else "the images")


def _patch(scale: int) -> Size:
    """Return the size of an upscaler's training inputs, multiples of 8 as its layers may need them."""
    side = PATCH // scale // 8 * 8
    return Size(side, side)


def _unfit(way: Way, generator: Mapping[str, Any], task: str, asked: Asked) -> str | None:
    """Return why a method does not take a generator, or None."""
    if way.families is not None and generator["family"] not in way.families:
        return f"takes only generators of the families {', '.join(way.families)}"
    if task not in way.tasks:
        return f"does not know the task {task}"
    if way.adversary and asked.discriminator is None:
        return "needs the original's discriminator too (--discriminator FILE)"
    return None


def out_of_reach(recipe: Recipe) -> str | None:
    """Return why a method cannot reach a recipe's budget, with the smallest cost that it can, or None.

    Raises:
        SlimgenError: the recipe is refused for another reason.
    """
    method = open_method(recipe.method)
    try:
        method.check(recipe)
    except BudgetError as error:
        return f"cannot reach it: {error.rule}"
    previewed = method.preview(recipe)  # type: ignore[attr-defined]
    for kind, limit in budget_of(recipe).limits.items():
        if kind == "latency_ms":
            continue
        _, least = cheapest(previewed.space, previewed.costs, kind)
        if least > limit:
            return f"reaches {plain(least)} {kind} at the least, and the limit is {plain(limit)}"
    return None


def described(generator: Mapping[str, Any], recipe: Recipe) -> str:
    """Return a generator in words, with its cost."""
    options = ", ".join(f"{name} {value}" for name, value in generator.items() if name != "family")
    cost = generator_cost(**recipe.size._asdict(), **generator)
    macs = cost.macs(recipe.budget.convention)
    words = f"{generator['family']} ({options})" if options else generator["family"]
    return f"{words}, {macs:,} MACs at {recipe.size}, {cost.params:,} parameters"
