"""The recipe of an adoption: a generator that is trained already, measured and exported as it is."""

import json
from collections.abc import Mapping
from typing import Any

from slimgen.nets import GENERATOR, noise_length
from slimgen.nets.probe import ANY, Probe, probed
from slimgen.recipe import Recipe
from slimgen.size import Size
from slimgen.tasks import task_class
from slimgen.tasks.embedded import NAME
from slimgen.tasks.single import scale_of

MADE = Size(256, 256)
"""The size of what a generator makes, where nothing else is asked for."""
JUDGE = {"family": "patchgan", "ndf": 8, "layers": 1}
"""A discriminator that nothing learns from, of the fewest layers, which suit every size."""
ENLARGED = ("psnr_y", "psnr", "ssim")
"""What a generator that enlarges is measured by."""


def recipe_of(
    weights: str,
    generator: Mapping[str, Any],
    *,
    name: str,
    task: str | None = None,
    size: Size | None = None,
    key: str | None = None,
    settings: list[str] | None = None,
    embedded: bool = False,
) -> Recipe:
    """The recipe by which a generator is adopted.

    Args:
        weights: the file.
        generator: family and options.
        name: of the recipe.
        task: what its pictures are like; single pictures that it is shown, or noise where it takes that, by default.
        size: of what it is given; by default such that what it makes has 256 pixels a side.
        key: which part of the file it is.
        settings: values of the recipe that are replaced, `key.path=value`.
        embedded: whether pictures are to be drawn, for want of others.

    Raises:
        RecipeError: a setting that makes no sense, or a generator that does not take pictures of this size.
        SlimgenError: the family or an option is not known.
    """
    data: dict[str, Any] = {"embedded": NAME} if embedded else {}
    evaluate: dict[str, Any] = {}
    if task is None:
        task, evaluate["metrics"] = "unconditional", ()
        if noise_length(**generator) is None:
            _try(generator, size or MADE)
            task, times = "single", scale_of(generator, size or MADE)
            if times > 1:
                data["scale"], evaluate["metrics"] = times, ENLARGED
                size = size or Size(*(side // times for side in MADE))
    if not task_class(task).traits.single:
        data["validation"] = 1  # nothing is chosen by them
    values: dict[str, Any] = {
        "name": name,
        "task": task,
        "method": "adopted",
        "size": (size or MADE).plain,
        "data": data,
        "compute": {"precision": "fp32"},
        "teach": {
            "generator": dict(generator),
            "discriminator": JUDGE,
            "generator_checkpoint": weights,
            "generator_key": key,
            "updates": 1,
        },
        "finetune": {"updates": 0},
        "evaluate": evaluate,
    }
    recipe = Recipe.from_values(values)
    return recipe.override(settings) if settings else recipe


def _try(generator: Mapping[str, Any], size: Size) -> None:
    """Runs a network of the user's own in a process of its own, for what it makes is asked in this one next."""
    options = {name: value for name, value in generator.items() if name != "family"}
    if ":" in generator["family"]:
        given = int(options.get("inputs", ANY)), *size
        probed(Probe((), GENERATOR, generator["family"], json.dumps(options), given))
