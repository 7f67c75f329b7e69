"""The hand-designed residual generator that takes noise: SN-GAN's for CIFAR-10 (Miyato et al. 2018, Table 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.nets.initial import GLOROT
from slimgen.nets.layers import Described, norm_of, weights_of
from slimgen.nets.noise import DOUBLINGS, Ends, NoiseOptions


@dataclass(frozen=True)
class NoiseResnetOptions(NoiseOptions):
    """The options of `NoiseResnet`."""

    def blocks(self) -> list[tuple[Row, ...]]:
        """Return the layers of each `UpBlock`: both norms, both convolutions and the shortcut."""
        blocks: list[tuple[Row, ...]] = []
        for part in (2**step for step in reversed(range(DOUBLINGS))):
            conv = Row("conv", "convolution", self.channels, self.channels, part=part)
            norm = Row("norm", "norm", self.channels, self.channels, part=part, norm="batch")
            blocks.append((norm._replace(part=2 * part), norm, conv, conv, conv._replace(name="shortcut", kernel=1)))
        return blocks

    def cost(self, height: int, width: int) -> Cost:
        """See `Described`."""
        rows = [*self.ends(self.made(height, width)), *(row for block in self.blocks() for row in block)]
        return cost_of(rows, height, width)


class UpBlock(nn.Module):
    """Two convolutions, each after norm and ReLU, the first also after nearest x2; a 1x1 convolution as shortcut."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__()
        layers = (norm_of(row) if row.norm else weights_of(row) for row in rows)
        self.norm1, self.norm2, self.conv1, self.conv2, self.shortcut = layers

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, 2 H, 2 W)."""
        twice = partial(functional.interpolate, scale_factor=2.0, mode="nearest")
        out: Tensor = self.conv1(twice(functional.relu(self.norm1(features))))
        out = self.conv2(functional.relu(self.norm2(out))) + self.shortcut(twice(features))
        return out


class NoiseResnet(Described):
    """SN-GAN's generator: a linear layer, three residual blocks that double the size, norm, ReLU, convolution, tanh."""

    Options = NoiseResnetOptions
    options: NoiseResnetOptions
    initial = GLOROT

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ends = Ends(self.options)
        self.blocks = nn.Sequential(*map(UpBlock, self.options.blocks()))

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise (N, latent), normally distributed, to images (N, outputs, H, W) in [-1, 1]."""
        images: Tensor = self.ends(noise, self.blocks)
        return images
