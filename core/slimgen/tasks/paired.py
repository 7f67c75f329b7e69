"""Paired image translation: edges to shoes, labels to photographs, maps to aerial photographs (pix2pix)."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from slimgen.nets.weights import save_weights
from slimgen.tasks.gan import GanTraining, originals, train_gan
from slimgen.tasks.task import Job
from slimgen.tasks.translation import CHANNELS, Translation

__all__ = ["Paired"]


class Paired(Translation):
    """Images with their targets, judged together."""

    discriminator_inputs = 2 * CHANNELS

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original pair; leaves `generator` and `discriminator.safetensors`.

        Returns:
            Updates, and the generator's parameters.
        """
        options = self.recipe.teach
        generator, discriminator, updates = *originals(self), 0
        if options.generator_checkpoint is None:
            updates = options.steps(len(job.data.split("train")))
            training = GanTraining("teacher", generator, discriminator, options, updates, ema=options.ema)
            generator = self.train_original(job, training)
        save_weights(job.out / "generator.safetensors", generator.state_dict())
        save_weights(job.out / "discriminator.safetensors", discriminator.state_dict())
        return {"updates": updates, "params": self.original_cost().params}

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a generator in place to make the targets; itself, or its average if there is one."""
        return train_gan(job, replace(training, guidance=self.guidance(None)))
