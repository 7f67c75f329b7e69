"""Task `paired`: translation of images with known targets, such as edges to shoes or maps to photographs (pix2pix)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from torch import nn

from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_pairs
from slimgen.data.prepare_translation import prepare_pairs
from slimgen.data.prepared import Manifest
from slimgen.recipe import Channels, Recipe
from slimgen.tasks.channels import following
from slimgen.tasks.gan import GanTraining, teach_pair, train_gan
from slimgen.tasks.task import Job, setting_of
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, Embedded, Traits
from slimgen.tasks.translation import CHANNELS, Translation


class Paired(Translation):
    """Task of images with their targets, which the discriminator sees together."""

    traits: ClassVar[Traits] = Traits(
        IMAGES, pairs=True, embedded=Embedded("paired"), refused={**OF_LABEL_MAPS, **OF_NOISE}
    )
    discriminator_inputs = 2 * CHANNELS

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe as `Task.suited` does; the discriminator sees input and target, or the target alone."""
        return following(recipe, channels, given=True, judged=(sum(channels), channels.wanted))

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write pairs as arrays."""
        return prepare_pairs(folder, out, setting_of(recipe), progress)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout of the pairs, and those that cannot be used."""
        return look_at_pairs(folder, look)

    def teach(self, job: Job) -> Mapping[str, float]:
        """Train or import the original generator and discriminator; see `teach_pair`."""
        return teach_pair(job, len(job.data.split("train")))

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Train a generator in place on the data's targets; return it, or its average if there is one."""
        return train_gan(job, replace(training, guidance=self.guidance(None)))
