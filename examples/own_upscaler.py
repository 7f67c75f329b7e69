"""A user-defined generator that enlarges: the smallest useful one, for the task `upscale`.

Its class is named by its file in a recipe, and needs nothing of slimgen. The recipe narrows it by the method of
`examples/own_method.py`, which is found with Python's path set to the folder that holds `examples/`:

    PYTHONPATH=. slimgen run examples/own_upscaler.yaml

Convolutions compute the details at the size of the input, the last one for all pixels of each enlarged square at once
(PixelShuffle, Shi et al. 2016), and the enlarged input is added, so that only what is missing has to be learned.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Upscaler(nn.Module):
    """A generator that enlarges pictures in [-1, 1].

    Args:
        ngf: channels of the features.
        blocks: number of residual convolutions.
        scale: factor of the enlargement.
    """

    def __init__(self, ngf: int = 16, blocks: int = 2, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Conv2d(3, ngf, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(ngf, ngf, 3, padding=1) for _ in range(blocks))
        self.last = nn.Conv2d(ngf, 3 * scale**2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to pictures (N, 3, scale x H, scale x W)."""
        features = self.first(images)
        for block in self.blocks:
            features = features + block(torch.relu(features))
        details = functional.pixel_shuffle(self.last(torch.relu(features)), self.scale)
        return details + functional.interpolate(images, scale_factor=self.scale, mode="nearest")
