"""The task that a trained generator and a folder of images suit, by their layouts and the generator's enlargement."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from slimgen.data.high_resolution import find_scaled
from slimgen.data.layouts import Files, find_pairs, find_sets
from slimgen.data.prepare_images import find_images
from slimgen.errors import DataError, RecipeError
from slimgen.size import Size
from slimgen.tasks.adopting import ENLARGED, MADE
from slimgen.tasks.single import scale_of
from slimgen.tasks.upscale import SCALES

PAIRED, UNPAIRED, SINGLE, UPSCALE = "paired", "unpaired", "single", "upscale"
PATCH = 128
"""Pixels a side of the patches that an upscaler is trained to make (ESRGAN, section 4.1)."""
VALIDATION = 32
"""Largest number of images that are held out to compare candidates."""


class Recognised(NamedTuple):
    """A task with the parts of a recipe that its images decide.

    Attributes:
        task: its name.
        translates: whether images are translated to others of the same size.
        size: of the generator's inputs.
        data: the section `data`.
        metrics: what generators are measured by.
        said: the images in words.
    """

    task: str
    translates: bool
    size: Size
    data: Mapping[str, Any]
    metrics: tuple[str, ...]
    said: str


def recognise(
    images: Path, generator: Mapping[str, Any], task: str | None = None, size: Size | None = None
) -> Recognised:
    """Return the task that a generator and a folder of images suit, the latter by its layout.

    Args:
        images: the folder.
        generator: family and options.
        task: None to see from the folder.
        size: of the generator's inputs; None for outputs of 256 pixels a side, or of `PATCH` where patches are taken.

    Raises:
        RecipeError: a task that is not known here.
        DataError: there are no images, or not in a layout of the named task.
    """
    scale = scale_of(generator, size or MADE)
    looks: dict[str, Callable[[], Files[Any]]] = {
        UPSCALE: lambda: find_scaled(images, scale),
        PAIRED: lambda: find_pairs(images, "AtoB", tested=False),
        UNPAIRED: lambda: find_sets(images, "AtoB", tested=False),
        SINGLE: lambda: find_images(images),
    }
    if task is not None and task not in looks:
        raise RecipeError("--task must be one that compress knows", repr(task), f"known: {', '.join(looks)}")
    suited = (PAIRED, UNPAIRED, SINGLE) if scale == 1 else (UPSCALE,) if scale in SCALES else (SINGLE,)
    *others, last = suited if task is None else (task,)
    for one in others:
        with suppress(DataError):
            return _recognised(one, scale, size, looks[one]())
    return _recognised(last, scale, size, looks[last]())


def _recognised(task: str, scale: int, size: Size | None, files: Files[Any]) -> Recognised:
    count, tested = len(files.splits["train"]), bool(files.splits.keys() & {"test", "val"})
    data: dict[str, Any] = {"validation": max(1, min(VALIDATION, count // 8))}
    metrics: tuple[str, ...] = ("psnr_y", "ssim_y") if task == UPSCALE else ("psnr", "ssim")
    if scale > 1 and task in (UPSCALE, SINGLE):
        data["scale"] = scale
        metrics = ENLARGED if task == SINGLE else metrics
    if not tested and task != SINGLE:
        data["test"] = max(1, count // 10)
    size = size or (_patch(scale) if task == UPSCALE else Size(*(side // scale for side in MADE)))
    said = f"{task} images ({files.layout}, {count} to train on)"
    return Recognised(task, task in (PAIRED, UNPAIRED), size, data, metrics, said)


def _patch(scale: int) -> Size:
    """Return the size of an upscaler's training inputs, multiples of 8 as its layers may need them."""
    side = PATCH // scale // 8 * 8
    return Size(side, side)
