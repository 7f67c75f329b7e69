"""Noise as a pure function of seed and use, batches of noise and real images, and the losses on them."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from slimgen.data.batches import Batches, Pair
from slimgen.data.prepared import Split
from slimgen.device import Compute
from slimgen.errors import DataError
from slimgen.nets.supernet import Arch
from slimgen.recipe import Recipe, Schedule
from slimgen.size import Size
from slimgen.tasks.guidance import Guidance
from slimgen.training.distributed import world
from slimgen.training.fit import Loss, Memo
from slimgen.training.losses import Adversarial

GENERATOR, DISCRIMINATOR, VALIDATION, TEST, SETTLING = range(5)
"""Uses of noise."""
SHOWN = ".discriminator"
"""Suffix of the names of the discriminator's batches."""


def latents(count: int, length: int, seed: int, *, use: int, split: int = 0, step: int = 0) -> Tensor:
    """Return standard normal noise, float32 (count, length): a pure function, the same on every device.

    Noise for different uses, splits or steps is independent; the first rows do not depend on the count.
    """
    # Always four numbers: numpy ignores trailing zeros of a seed.
    rng = np.random.default_rng([seed, use, split, step])
    return torch.from_numpy(rng.standard_normal((count, length), dtype=np.float32))


class NoiseBatches:
    """Batches of a step: noise for the generator, noise and real images for the discriminator.

    `number` is the split's, so that splits get different noise.

    Raises:
        DataError: a batch cannot be divided evenly among the processes.
    """

    def __init__(
        self, split: Split, schedule: Schedule, recipe: Recipe, length: int, number: int, compute: Compute
    ) -> None:
        self.rank, self.world = world()
        self.batch, self.shown, self.turns = schedule.batch, schedule.shown, schedule.discriminator_steps
        if self.batch % self.world or self.shown % self.world:
            sizes = f"{self.batch} for the generator and {self.shown} for the discriminator"
            raise DataError("a batch must divide evenly among the ranks", f"{sizes}, {self.world} ranks")
        self.length, self.seed, self.number, self.compute = length, recipe.seed, number, compute
        count, seed, crop, flip = self.turns * self.shown, recipe.seed, Size(*split.target.shape[1:3]), recipe.data.flip
        self.images = Batches(split, batch=count, seed=seed, crop=crop, flip=flip, rank=self.rank, world=self.world)
        # The phases of a step share one batch.
        self.seen = lru_cache(maxsize=1)(self._seen)
        self.made = lru_cache(maxsize=1)(self._made)

    def _made(self, step: int) -> Pair:
        """Return noise for the generator, and the real images of the discriminator's first step."""
        noise = self._noise(self.batch, GENERATOR, step)
        return Pair(noise, self.seen(step).target[: self.shown // self.world])

    def _seen(self, step: int) -> Pair:
        """Return noise and real images for all steps of the discriminator."""
        real = self.compute.place(self.images(step).target)
        return Pair(self._noise(self.turns * self.shown, DISCRIMINATOR, step), real)

    def _noise(self, count: int, use: int, step: int) -> Tensor:
        drawn = latents(count, self.length, self.seed, use=use, split=self.number, step=step)
        return self.compute.place(drawn[self.rank * count // self.world : (self.rank + 1) * count // self.world])


def passing_for_real(
    generator: nn.Module, discriminator: nn.Module, gan: Adversarial, weight: float, guidance: Guidance
) -> Loss:
    """Return the generator's loss: adversarial, and the terms of the guidance."""

    def loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        fake = generator(batch.input).float()
        passed = gan.passing(discriminator(fake).float(), lambda: discriminator(batch.target))
        terms = {"adversarial": weight * passed}
        for term in guidance.terms:
            terms |= term(batch, fake, memo)
        return terms

    return loss


def telling_apart(generator: nn.Module, discriminator: nn.Module, gan: Adversarial, turn: int, turns: int) -> Loss:
    """Return the loss of one discriminator step, on its part of the batch and newly generated images."""

    def loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
        count = len(batch.target) // turns
        part = slice(turn * count, (turn + 1) * count)
        with torch.no_grad():
            fake = generator(batch.input[part]).float()
        scores = discriminator(torch.cat([batch.target[part], fake])).float()
        return {"loss": gan.discriminator(scores[:count], scores[count:])}

    return loss
