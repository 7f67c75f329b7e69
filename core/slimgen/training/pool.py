"""The history of generated images that a discriminator is shown."""

import random
from typing import Any

import torch
from torch import Tensor, distributed

from slimgen.errors import RecipeError


class ImagePool:
    """Keeps images that were generated before, and mixes them among the new ones.

    A discriminator that sees older images too oscillates less (Shrivastava et al. 2017, section 2.3; CycleGAN,
    section 4, with 50 images). Until the pool is full, new images are stored and returned as they are; from then on,
    each is with probability 1/2 replaced by a stored one, which leaves the pool, and takes its place.

    What happens at a step is a function of (seed, step) and of what is stored, which belongs into checkpoints. Under
    torchrun every process stores the images of all, and takes its slice of what one process would return. With size 0
    every image is returned as it is. Pools of one training have different seeds.

    Raises:
        RecipeError: if the size is negative.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        if size < 0:
            raise RecipeError("a pool keeps a number of images from 0", size)
        self.size, self.seed = size, seed
        self._images: list[Tensor] = []

    def __len__(self) -> int:
        """How many images are stored."""
        return len(self._images)

    @torch.no_grad()
    def query(self, images: Tensor, step: int) -> Tensor:
        """Stores images, and returns as many to show the discriminator, without a graph.

        They are (N, C, H, W), of one shape, type and device throughout a training. Ask once a step: the same step draws
        the same numbers.
        """
        if self.size == 0:
            return images.detach()
        rng = random.Random(f"{self.seed}/pool/{step}")
        everyone = _of_all(images.detach())
        shown = [self._exchange(image, rng) for image in everyone]
        first = distributed.get_rank() * len(images) if distributed.is_initialized() else 0
        # Filled in place: of the layout in memory of what came in, wherever the stored ones were loaded from.
        out = torch.empty_like(images)
        for index in range(len(images)):
            out[index] = shown[first + index]
        return out

    def _exchange(self, image: Tensor, rng: random.Random) -> Tensor:
        """The image itself, or a stored one whose place it takes."""
        if len(self._images) < self.size:
            # A copy: a slice of the batch would keep, and save, the whole batch.
            self._images.append(image.clone())
            return image
        if rng.random() < 0.5:
            return image
        index = rng.randrange(self.size)
        stored, self._images[index] = self._images[index], image.clone()
        return stored

    def state_dict(self) -> dict[str, Any]:
        """The stored images, each (C, H, W); which place is whose matters."""
        return {"images": list(self._images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes them back; from whichever device, they move to that of the images at which they are shown."""
        self._images = list(state["images"])


def _of_all(images: Tensor) -> Tensor:
    """The images of all processes, in the order of their ranks."""
    if not distributed.is_initialized():
        return images
    whole = images.contiguous()
    parts = [torch.empty_like(whole) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, whole)
    return torch.cat(parts)
