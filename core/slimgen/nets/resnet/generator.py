"""The ResNet generator of CycleGAN (Zhu et al. 2017), after Johnson et al. 2016, and its mobile form.

The mobile form (GAN Compression, Li et al. 2020, section 3.2) has separable residual blocks.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.cost.rows import Row, positions
from slimgen.nets.functional import OutputConvolution, ReflectionPad2d, ReLU, may_overwrite
from slimgen.nets.initial import initialise
from slimgen.nets.layers import Described, Make, Separable, layers_of, weights_of
from slimgen.nets.pieces import Piece
from slimgen.nets.resnet.description import MobileResnetOptions, ResnetOptions, check_size, residual


class ResidualBlock(nn.Module):
    """A residual block: reflect, conv3, IN, ReLU, (dropout,) reflect, conv3, IN, plus the input.

    Dropout shifts the index of the second convolution from `conv_block.5` to `conv_block.6`, as in the published
    pix2pix and CycleGAN checkpoints.
    """

    def __init__(self, row: Row, dropout: float) -> None:
        super().__init__()
        free: dict[str, Make] = {**_FREE, "dropout": lambda row: nn.Dropout(dropout)}
        self.conv_block = nn.Sequential(*(layer for part in row.within for layer in layers_of(part, free, _inner)))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to the same shape."""
        made: Tensor = self.conv_block(x)
        return made.add_(x) if may_overwrite(made) else x + made


def _inner(row: Row) -> nn.Module:
    """Build a convolution, dense or separable; it has no padding after a reflection layer."""
    if not row.within:
        return weights_of(row)
    return Separable(row, partial(weights_of, padding=0) if "reflect" in row.before else weights_of)


_FREE: dict[str, Make] = {
    "reflect": lambda row: ReflectionPad2d(row.kernel // 2),
    "relu": lambda row: ReLU(),
    "tanh": lambda row: nn.Tanh(),
}


class ResnetGenerator(Described):
    """The ResNet generator: conv7, two halvings, residual blocks at 1/4 of the size, two doublings, conv7, tanh.

    By default the norm is InstanceNorm without affine parameters or running statistics, and every convolution has a
    bias. The names in the state dict are those of the published pix2pix and CycleGAN checkpoints. With `ngf` 64 and 9
    blocks it has 11,378,179 parameters. Options and errors: see `ResnetOptions`.
    """

    Options = ResnetOptions
    options: ResnetOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        rows = self.options.rows()
        self.model = nn.Sequential(*(layer for row in rows for layer in layers_of(row, _FREE, self._weights)))
        places = positions(rows)
        self._taps = {places[name][-1] for name in self.options.taps}

    def _weights(self, row: Row) -> nn.Module:
        if residual(row):
            return ResidualBlock(row, self.options.dropout)
        return OutputConvolution(row.inputs, row.outputs, row.kernel) if row.name == "output" else _inner(row)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]; H and W are multiples of 4."""
        return self.features(x)[0]

    def features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the images and the features for distillation; see `ResnetOptions.taps`."""
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            check_size(x.shape[-2], x.shape[-1])
        features = []
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in self._taps:
                features.append(x)
        return x, features

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Return one piece per row, in order; equal residual blocks give equal pieces."""
        described, part, pieces = cls.Options(**options), 1, []
        rows = described.rows()
        family = "mobile_resnet" if isinstance(described, MobileResnetOptions) else "resnet"
        family += "" if described.norm == "instance" else f" of {described.norm} norm"
        places = positions(rows)
        for row in rows:
            shape = (1, row.inputs, height // part, width // part)
            wide = row.within[0].outputs if residual(row) else row.outputs
            key = f"{family} {_noun(row)} {wide} of {'x'.join(map(str, shape))}"
            pieces.append(Piece(key, partial(cls._piece, options, places[row.name]), shape))
            part = row.part
        return pieces

    @classmethod
    def _piece(cls, options: Mapping[str, Any], places: range) -> nn.Module:
        with torch.device("meta"):
            net = cls(**options)
        return initialise(net.model[places.start : places.stop].to_empty(device="cpu"), 0).eval()


def _noun(row: Row) -> str:
    """Return a row's name in the key of its piece."""
    if row.name in ("up1", "up2"):
        return "doubling"
    return "halving" if row.stride > 1 else "block" if residual(row) else row.name


class MobileResnetGenerator(ResnetGenerator):
    """A `ResnetGenerator` with separable residual blocks; stem, halvings, doublings and output stay dense.

    `MobileResnetOptions.separable` can choose other parts (GAN Compression, Table 4).
    With `ngf` 64 and 9 blocks it has 1,987,075 parameters.
    """

    Options = MobileResnetOptions
