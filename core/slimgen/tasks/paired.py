"""Paired image translation: edges to shoes, labels to photographs, maps to aerial photographs (pix2pix)."""

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
    """Images with their targets, judged together."""

    traits: ClassVar[Traits] = Traits(
        IMAGES, pairs=True, embedded=Embedded("paired"), refused={**OF_LABEL_MAPS, **OF_NOISE}
    )
    discriminator_inputs = 2 * CHANNELS

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """As every task's; the discriminator judges input and target together, or the target alone."""
        return following(recipe, channels, given=True, judged=(sum(channels), channels.wanted))

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Writes pairs as arrays."""
        return prepare_pairs(folder, out, setting_of(recipe), progress)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How pairs are laid out, and which cannot be used."""
        return look_at_pairs(folder, look)

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original pair; see `teach_pair`."""
        return teach_pair(job, len(job.data.split("train")))

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a generator in place to make the targets; itself, or its average if there is one."""
        return train_gan(job, replace(training, guidance=self.guidance(None)))
