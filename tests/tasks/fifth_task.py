"""A task in one file: photographs from their grey versions, out of a folder of photographs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import nn

from slimgen.data.conversion import Progress, Read, Row, convert
from slimgen.data.division import divide
from slimgen.data.images import decode
from slimgen.data.look import Look, Looked, look_at_images
from slimgen.data.prepare_images import ImageFile, find_images
from slimgen.data.prepared import Manifest
from slimgen.data.shapes import require_pixels, resize
from slimgen.recipe import Recipe
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.original import teach_pair
from slimgen.tasks.task import Job, setting_of
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, Embedded, Traits
from slimgen.tasks.translation import CHANNELS, Translation


class Colouring(Translation):
    """Grey photographs with their colours, judged together."""

    traits: ClassVar[Traits] = Traits(
        IMAGES, pairs=True, embedded=Embedded("images", tracked=False), refused={**OF_LABEL_MAPS, **OF_NOISE}
    )
    discriminator_inputs = 2 * CHANNELS

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path, progress: Progress) -> Manifest:
        """Writes photographs, and their grey versions as inputs."""
        found, setting = find_images(folder), setting_of(recipe)
        splits = divide(found.splits, setting, "photographs")
        return convert(folder, out, splits, _photograph, setting, progress, layout=found.layout, unit="photograph")

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How photographs are laid out, and which cannot be used."""
        return look_at_images(folder, look)

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original pair."""
        return teach_pair(job, len(job.data.split("train")))

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a generator in place to make the colours."""
        return train_gan(job, replace(training, guidance=self.guidance(None)))


def _photograph(file: ImageFile, read: Read, side: int, size: int) -> dict[str, Row]:
    image = decode(file.path, read(file.path))
    height, width = shape = image.shape[:2]
    require_pixels(file.path, shape, size)
    colours = resize(image, side)
    grey = np.repeat(colours.mean(2, keepdims=True).round().astype(np.uint8), 3, 2)
    return {"input": Row(file.name, grey, (height, width)), "target": Row(file.name, colours, shape)}
