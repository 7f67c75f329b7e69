"""Recipe of an adoption: a generator that is already trained, measured and exported as it is."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from slimgen.errors import RecipeError
from slimgen.nets import GENERATOR, noise_length
from slimgen.nets.probe import ANY, Probe, probed
from slimgen.recipe import Recipe
from slimgen.size import Size
from slimgen.tasks import task_class
from slimgen.tasks.embedded import NAME
from slimgen.tasks.single import scale_of
from slimgen.tasks.upscale import SCALES

MADE, SMALL = Size(256, 256), Size(64, 64)
"""Size of a generator's outputs where none is given, and of the first inputs that it is tried on."""
JUDGE = {"family": "patchgan", "ndf": 8, "layers": 1}
"""Unused discriminator, with the fewest layers so that it fits every size."""
ENLARGED = ("psnr_y", "ssim_y", "psnr", "ssim")
"""Metrics of a generator that enlarges."""


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
    """Return the recipe that adopts a generator.

    Args:
        weights: path of the weights file.
        generator: family and options.
        name: name of the recipe.
        task: the generator's task; by default `upscale` if it enlarges 2, 3 or 4 times, `unconditional` if it takes
            noise, otherwise `single`.
        size: size of its inputs; by default the one whose outputs have 256 pixels a side.
        key: part of the file that holds the generator.
        settings: recipe values to replace, each `key.path=value`.
        embedded: whether to draw the embedded pictures, because no others are given.

    Raises:
        RecipeError: an invalid setting, or a generator that does not take pictures of this size.
        SlimgenError: an unknown family or option.
    """
    data: dict[str, Any] = {"embedded": NAME} if embedded else {}
    evaluate: dict[str, Any] = {}
    times = 0
    if task is None:
        task, evaluate["metrics"] = "unconditional", ()
        if noise_length(**generator) is None:
            _try(generator, size)
            times = scale_of(generator, size or MADE)
            task = "upscale" if times in SCALES else "single"
    if task_class(task).traits.enlarges and noise_length(**generator) is None:
        times = times or scale_of(generator, size or MADE)
        if times > 1:
            data["scale"], evaluate["metrics"] = times, ENLARGED
            size = size or Size(*(side // times for side in MADE))
    if not (task_class(task).traits.single or task_class(task).traits.enlarges):
        data["validation"] = 1  # the validation images are not used
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


def _try(generator: Mapping[str, Any], size: Size | None) -> None:
    """Try a user-defined network in a separate process first, since its output is computed in this one next.

    Without a size, it is tried on small inputs, because a network that enlarges is slow on large ones, and then, if it
    does not take these, on inputs of `MADE`.
    """
    options = {name: value for name, value in generator.items() if name != "family"}
    if ":" not in generator["family"]:
        return

    def tried(pixels: Size) -> None:
        given = int(options.get("inputs", ANY)), *pixels
        probed(Probe((), GENERATOR, generator["family"], json.dumps(options), given))

    if size is None:
        with suppress(RecipeError):
            return tried(SMALL)
    tried(size or MADE)
