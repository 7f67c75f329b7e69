"""A user-defined task: one file and one word in a recipe, without editing slimgen.

The task is to colour grey photographs. Pairs are made from single images: the input is an image without its colours,
the target is the image itself. Any folder of images will do, and so will the embedded townhouses. A recipe names the
class in place of one of slimgen's tasks, with Python's path set to the folder that holds `examples/`:

    PYTHONPATH=. slimgen run examples/own_task.yaml

A task defines the layout of its images (`traits`), how they are prepared and checked, the inputs of generator and
discriminator, and how both are trained (see `Task` in `slimgen/tasks/task.py`). This one inherits from `Paired`
everything that pairs of images have in common: networks, pix2pix's losses, the training of the original, the metrics,
and with them every method that compresses generators of pairs. Slimgen's own tasks work in the same way: a file in
`slimgen/tasks/` and a line of `TASKS` in its `__init__.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from slimgen.data.conversion import Progress, Read, Row, convert
from slimgen.data.division import divide
from slimgen.data.images import decode
from slimgen.data.look import Look, Looked, look_at_images
from slimgen.data.prepare_images import ImageFile, customary, find_images
from slimgen.data.prepared import Manifest
from slimgen.data.shapes import Frame, resize
from slimgen.errors import DataError
from slimgen.recipe import Recipe
from slimgen.size import Size
from slimgen.tasks.paired import Paired
from slimgen.tasks.task import setting_of
from slimgen.tasks.traits import Embedded

LUMA = np.array([0.299, 0.587, 0.114])
"""The weights of red, green and blue in the brightness (ITU-R BT.601)."""


class Colours(Paired):
    """The colouring of grey images: pairs of a grey image and the same image in colour."""

    traits = replace(
        Paired.traits,
        embedded=Embedded("images", tracked=False),
        refused={**Paired.traits.refused, "data": (*Paired.traits.refused["data"], "direction")},
        reads="float32 in [-1, 1], grey: three equal channels",
    )

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write pairs of each image without its colours and the image; without `out`, only report rejections.

        Raises:
            DataError: the folder has no images in `train/` and `test/`, or most of them cannot be used.
        """
        found, setting = find_images(folder), setting_of(recipe)
        if "test" not in found.splits and setting.test is None:
            hint = "add the missing folder, or set data.test to hold some images out of train"
            raise DataError(f"{folder} must hold images in train/ and in test/", ", ".join(found.splits), hint)
        splits = divide(found.splits, setting, "images")
        return convert(folder, out, splits, pair, setting, progress, found=found, unit="image")

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Return the images' layout and the unusable ones, for `slimgen data check` to print."""
        return look_at_images(folder, look)


def pair(file: ImageFile, read: Read, frame: Frame) -> Mapping[str, Row]:
    """Return the middle part of an image, resized, in grey and in colour; raise Rejected if it is too small."""
    image = decode(file.path, read(file.path))
    colours = resize(customary(frame).fitted(file.path, image), frame.size)
    grey = (colours @ LUMA).round().astype(np.uint8)
    rows = {"input": np.repeat(grey[..., None], 3, axis=2), "target": colours}
    return {which: Row(file.name, row, Size(*image.shape[:2])) for which, row in rows.items()}
