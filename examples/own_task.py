"""A user-defined task: one file, and one word in a recipe. Nothing of slimgen is edited.

Grey photographs are to become colourful. Pairs are made of single images: the input is an image without its colours,
the target the image itself. So a folder of any images will do, and the embedded townhouses as well. A recipe names the
class in the place of a task that comes with slimgen, with Python's path set to the folder that holds `examples/`:

    PYTHONPATH=. slimgen run examples/own_task.yaml

A task says what its images look like (`traits`), how they are prepared and looked at, what a generator and a
discriminator are given, and how both are trained (see `Task` in `slimgen/tasks/task.py`). What pairs of images have in
common is in `Paired`, from which this one inherits: the networks, pix2pix's losses, how the original is trained, what
is measured, and so every method that compresses generators of pairs. A task that comes with slimgen is the same: a file
in `slimgen/tasks/`, and a line of `TASKS` in its `__init__.py`.
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
"""How bright red, green and blue are (ITU-R BT.601)."""


class Colours(Paired):
    """Grey images with the same images in colour."""

    traits = replace(
        Paired.traits,
        embedded=Embedded("images", tracked=False),
        refused={**Paired.traits.refused, "data": (*Paired.traits.refused["data"], "direction")},
        reads="float32 in [-1, 1], grey: three equal channels",
    )

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write each image as the target of itself without colours; without `out`, only says what would be rejected.

        Raises:
            DataError: the folder has no images in `train/` and `test/`, or most of them cannot be used.
        """
        found, setting = find_images(folder), setting_of(recipe)
        if "test" not in found.splits and setting.test is None:
            raise DataError(f"{folder} must hold images in train/ and in test/", ", ".join(found.splits))
        splits = divide(found.splits, setting, "images")
        return convert(folder, out, splits, pair, setting, progress, found=found, unit="image")

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How the images are laid out, and which cannot be used: what `slimgen data check` prints."""
        return look_at_images(folder, look)


def pair(file: ImageFile, read: Read, frame: Frame) -> Mapping[str, Row]:
    """Return the middle part of an image, resized: grey, and as it is; raises Rejected if it is too small."""
    image = decode(file.path, read(file.path))
    colours = resize(customary(frame).fitted(file.path, image), frame.size)
    grey = (colours @ LUMA).round().astype(np.uint8)
    rows = {"input": np.repeat(grey[..., None], 3, axis=2), "target": colours}
    return {which: Row(file.name, row, Size(*image.shape[:2])) for which, row in rows.items()}
