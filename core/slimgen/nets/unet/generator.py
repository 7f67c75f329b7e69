"""The U-Net generator of pix2pix (Isola et al. 2017): encoder and decoder with a skip at every scale."""

from typing import Any

import torch
from torch import Tensor, nn

from slimgen.nets.layers import Described, Make, layers_of
from slimgen.nets.unet.description import UnetOptions


class Scale(nn.Module):
    """One scale of the U-Net and all below it: halve, next scale, double; the outermost one maps image to image."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to features (N, made, H, W)."""
        out: Tensor = self.model(x)
        return out


class SkipScale(Scale):
    """A scale that returns its input concatenated with its output."""

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, outer, H, W) to (N, outer + made, H, W): the input, then the output."""
        return torch.cat([x, self.model(x)], dim=1)


class UnetGenerator(Described):
    """The U-Net generator: `depth` 4x4 convolutions with stride 2 and as many transposed ones, with skips between.

    The names in the state dict are those of the published pix2pix checkpoints. With `ngf` 64, depth 8 and BatchNorm
    it has 54,413,955 parameters. At batch size 1 keep its BatchNorm in training mode, as pix2pix does. Options and
    errors: see `UnetOptions`.
    """

    Options = UnetOptions
    options: UnetOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        free: dict[str, Make] = {
            "leaky": lambda row: nn.LeakyReLU(0.2),
            "relu": lambda row: nn.ReLU(),
            "dropout": lambda row: nn.Dropout(self.options.dropout),
            "tanh": lambda row: nn.Tanh(),
        }
        within: list[nn.Module] = []
        for halve, double in reversed(self.options.scales()):
            layers = [*layers_of(halve, free), *within, *layers_of(double, free)]
            within = [(Scale if "tanh" in double.after else SkipScale)(*layers)]
        (self.model,) = within

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]; H, W are multiples of 2**depth."""
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            self.options.check_size(x.shape[-2], x.shape[-1])
        out: Tensor = self.model(x)
        return out
