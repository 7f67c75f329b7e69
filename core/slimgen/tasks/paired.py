"""Paired image translation: edges to shoes, labels to photographs, maps to aerial photographs (pix2pix)."""

from collections.abc import Mapping

from torch import nn

from slimgen.nets.weights import save_weights
from slimgen.recipe import Schedule
from slimgen.tasks.gan import originals, train_gan
from slimgen.tasks.job import Job
from slimgen.tasks.translation import CHANNELS, Translation

__all__ = ["Paired"]


class Paired(Translation):
    """Images with their targets, judged together."""

    judged = 2 * CHANNELS

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the original pair; leaves `generator` and `discriminator.safetensors`.

        Returns:
            Updates, and the generator's parameters.
        """
        options = self.recipe.teach
        generator, discriminator, updates = *originals(self), 0
        if options.generator_checkpoint is None:
            updates = options.steps(len(job.data.split("train")))
            generator = self.train_original(job, "teacher", generator, discriminator, options, updates, ema=options.ema)
        save_weights(job.out / "generator.safetensors", generator.state_dict())
        save_weights(job.out / "discriminator.safetensors", discriminator.state_dict())
        return {"updates": updates, "params": self.original_cost().params}

    def train_original(
        self,
        job: Job,
        name: str,
        generator: nn.Module,
        discriminator: nn.Module,
        schedule: Schedule,
        steps: int,
        *,
        ema: float | None = None,
    ) -> nn.Module:
        """Trains a generator in place to make the targets; itself, or its average if there is one."""
        guidance = self.guidance(None)
        return train_gan(job, name, generator, discriminator, schedule, steps, guidance=guidance, ema=ema)
