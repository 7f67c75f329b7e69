"""The pool of earlier generated images for a discriminator."""

import random
from typing import Any

import torch
from torch import Tensor, distributed

from slimgen.errors import RecipeError


class ImagePool:
    """A store of earlier generated images, which are mixed with the new ones.

    A discriminator that also sees older images oscillates less (Shrivastava et al. 2017, section 2.3; CycleGAN,
    section 4, with 50 images). Until the pool is full, new images are stored and returned unchanged. From then on, a
    new image is swapped, with probability 1/2, for a stored one, which is returned in its place.

    A step's result is a function of (seed, step) and the stored images, which belong in checkpoints. Under torchrun
    every process stores the images of all processes and returns its part of a single process's result. With size 0
    every image is returned unchanged. The pools of one training must have different seeds.

    Raises:
        RecipeError: the size is negative.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        if size < 0:
            raise RecipeError("the size of an image pool must be at least 0", size)
        self.size, self.seed = size, seed
        self._images: list[Tensor] = []

    def __len__(self) -> int:
        """Return the number of stored images."""
        return len(self._images)

    @torch.no_grad()
    def query(self, images: Tensor, step: int) -> Tensor:
        """Store images and return as many for the discriminator, without a graph.

        They are (N, C, H, W), with the same shape, type and device throughout a training. Call it once per step: the
        same step draws the same random numbers.
        """
        if self.size == 0:
            return images.detach()
        rng = random.Random(f"{self.seed}/pool/{step}")
        everyone = _of_all(images.detach())
        shown = [self._exchange(image, rng) for image in everyone]
        first = distributed.get_rank() * len(images) if distributed.is_initialized() else 0
        # Filled in place: the result has the input's memory layout and device, whatever those of the stored images.
        out = torch.empty_like(images)
        for index in range(len(images)):
            out[index] = shown[first + index]
        return out

    def _exchange(self, image: Tensor, rng: random.Random) -> Tensor:
        """Return the image itself, or a stored one whose place it takes."""
        if len(self._images) < self.size:
            # A copy, because a slice would keep, and save, the whole batch.
            self._images.append(image.clone())
            return image
        if rng.random() < 0.5:
            return image
        index = rng.randrange(self.size)
        stored, self._images[index] = self._images[index], image.clone()
        return stored

    def state_dict(self) -> dict[str, Any]:
        """Return the stored images, each (C, H, W); their order matters."""
        return {"images": list(self._images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the stored images; they move to the device of new images when they are returned."""
        self._images = list(state["images"])


def _of_all(images: Tensor) -> Tensor:
    """Return the images of all processes, in the order of their ranks."""
    if not distributed.is_initialized():
        return images
    whole = images.contiguous()
    parts = [torch.empty_like(whole) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, whole)
    return torch.cat(parts)
