"""Discriminators of upscalers: SRGAN's in the style of VGG, and Real-ESRGAN's U-Net with spectral norms.

The names in their state dicts are BasicSR's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import SlimgenError
from slimgen.nets.layers import Described, norm_of, weights_of
from slimgen.nets.options import Few, Width

_LEAKY = ("leaky",)
_GRID = 4  # side of the features that the linear layers read
_HIDDEN = 100  # outputs of the first linear layer
_SLOPE = 0.2


@dataclass(frozen=True)
class VggStyleOptions:
    """The options of a discriminator in the style of VGG.

    Attributes:
        inputs: channels of the images.
        ndf: channels of the first two convolutions; each halving doubles them, up to eight times as many.
        halvings: number of convolutions with stride 2: 5, or 6 as in BasicSR's for patches of 256 pixels.

    Raises:
        SlimgenError: an option is out of range.
    """

    inputs: Width = 3
    ndf: Width = 64
    halvings: Few = 5

    def __post_init__(self) -> None:
        if min(self.inputs, self.ndf, self.halvings) < 1:
            got = f"inputs={self.inputs}, ndf={self.ndf}, halvings={self.halvings}"
            raise SlimgenError("inputs, ndf and halvings of a VGG-style discriminator must be at least 1", got)

    def convolutions(self) -> Iterator[Row]:
        """Yield two convolutions for each size, one that keeps and one that halves it; only the first has no norm."""
        widths = [self.inputs, *(self.ndf * min(2**level, 8) for level in range(self.halvings))]
        for level, (before, after) in enumerate(pairwise(widths)):
            row = Row(f"conv{level}_0", "convolution", before, after, part=2**level, after=_LEAKY)
            yield row if level == 0 else row._replace(norm="batch", bias=False)
            halving = Row(f"conv{level}_1", "convolution", after, after, 4, 2 << level, 2, after=_LEAKY)
            yield halving._replace(norm="batch", bias=False)

    def ends(self) -> tuple[Row, Row]:
        """Return the linear layers on the last features, pooled to 4 x 4 pixels."""
        wide = self.ndf * min(2 ** (self.halvings - 1), 8)
        first = Row("linear1", "linear", wide * _GRID**2, _HIDDEN, after=_LEAKY)
        return first, Row("linear2", "linear", _HIDDEN, 1)

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError where images of this size are too small."""
        if min(height, width) < 2**self.halvings:
            rule = f"images for a VGG-style discriminator with {self.halvings} halvings must have at least"
            got = f"{height} x {width}"
            raise SlimgenError(f"{rule} {2**self.halvings} pixels a side", got, "use fewer halvings, or larger images")

    def cost(self, height: int, width: int) -> Cost:
        """Return the discriminator's cost on one image; pooling is free. Raises as `check_size`."""
        self.check_size(height, width)
        return cost_of((*self.convolutions(), *self.ends()), height, width)


class VggStyle(Described):
    """SRGAN's discriminator (Ledig et al. 2017, Figure 4) with BatchNorm and LeakyReLU 0.2, as BasicSR has it.

    The last features are averaged over a grid of 4 x 4 parts before the linear layers, so that images of any size are
    judged. With patches of 128 pixels and 5 halvings, or 256 and 6, they are as large as the grid already, and the
    network is BasicSR's. Options and errors: see `VggStyleOptions`.
    """

    Options = VggStyleOptions
    options: VggStyleOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.names = []
        for row in self.options.convolutions():
            self.names.append(row.name)
            self.add_module(row.name, weights_of(row))
            if row.norm:
                self.add_module(row.name.replace("conv", "bn"), norm_of(row))
        self.linear1, self.linear2 = map(weights_of, self.options.ends())
        self.lrelu, self.pool = nn.LeakyReLU(_SLOPE), nn.AdaptiveAvgPool2d(_GRID)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to logits (N, 1), one for each image; raises as `features`."""
        return self.scores(self.features(images))

    def scores(self, features: list[Tensor]) -> Tensor:
        """Return the logits of `forward`, given the activations of `features`."""
        return features[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """Return all activations for feature matching: every LeakyReLU's output, then the logits.

        Raises:
            SlimgenError: the images are too small.
        """
        self.options.check_size(images.shape[-2], images.shape[-1])
        found, out = [], images
        for name in self.names:
            out = self.get_submodule(name)(out)
            if hasattr(self, norm := name.replace("conv", "bn")):
                out = self.get_submodule(norm)(out)
            out = self.lrelu(out)
            found.append(out)
        found.append(self.lrelu(self.linear1(self.pool(out).flatten(1))))
        return [*found, self.linear2(found[-1])]


@dataclass(frozen=True)
class UnetSnOptions:
    """The options of a U-Net discriminator.

    Attributes:
        inputs: channels of the images.
        ndf: channels at full size; each of three halvings doubles them.
        skips: whether the features of each size on the way down are added on the way up.

    Raises:
        SlimgenError: an option is out of range.
    """

    inputs: Width = 3
    ndf: Width = 64
    skips: bool = True

    def __post_init__(self) -> None:
        if min(self.inputs, self.ndf) < 1:
            got = f"inputs={self.inputs}, ndf={self.ndf}"
            raise SlimgenError("inputs and ndf of a U-Net discriminator must be at least 1", got)

    def rows(self) -> Iterator[Row]:
        """Yield the convolutions, named as in the state dict; all but the first and the last have spectral norms."""
        ndf = self.ndf
        yield Row("conv0", "convolution", self.inputs, ndf, after=_LEAKY)
        for level in (1, 2, 3):
            wide = ndf << level
            yield Row(f"conv{level}", "convolution", wide // 2, wide, 4, 1 << level, 2, bias=False, after=_LEAKY)
        for level in (2, 1, 0):
            wide = ndf << level
            yield Row(f"conv{6 - level}", "convolution", 2 * wide, wide, part=1 << level, bias=False, after=_LEAKY)
        for name in ("conv7", "conv8"):
            yield Row(name, "convolution", ndf, ndf, bias=False, after=_LEAKY)
        yield Row("conv9", "convolution", ndf, 1)

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError unless the discriminator can take images of this size."""
        if min(height, width) < 8 or height % 8 or width % 8:
            rule = "the sides of images for a U-Net discriminator must be multiples of 8 pixels"
            raise SlimgenError(rule, f"{height} x {width}", "choose another size in the recipe")

    def cost(self, height: int, width: int) -> Cost:
        """Return the discriminator's cost on one image; spectral norms, as they fold into the weights, are free.

        Bilinear enlargement is free too. Raises as `check_size`.
        """
        self.check_size(height, width)
        return cost_of(self.rows(), height, width)


class UnetSn(Described):
    """Real-ESRGAN's discriminator (Wang et al. 2021, section 3.3): a U-Net with spectral norms that judges each pixel.

    Options and errors: see `UnetSnOptions`.
    """

    Options = UnetSnOptions
    options: UnetSnOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for row in self.options.rows():
            convolution = weights_of(row)
            self.add_module(row.name, convolution if row.bias else spectral_norm(convolution))
        self.lrelu = nn.LeakyReLU(_SLOPE)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to logits (N, 1, H, W), one for each pixel; raises as `features`."""
        return self.scores(self.features(images))

    def scores(self, features: list[Tensor]) -> Tensor:
        """Return the logits of `forward`, given the activations of `features`."""
        return features[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """Return all activations for feature matching: every LeakyReLU's output, then the logits.

        Raises:
            SlimgenError: the sides of the images are no multiples of 8.
        """
        self.options.check_size(images.shape[-2], images.shape[-1])

        def through(number: int, x: Tensor) -> Tensor:
            out: Tensor = self.lrelu(self.get_submodule(f"conv{number}")(x))
            return out

        down = [through(0, images)]
        for number in (1, 2, 3):
            down.append(through(number, down[-1]))
        found, out = list(down), down.pop()
        for number in (4, 5, 6):
            larger = functional.interpolate(out, scale_factor=2.0, mode="bilinear", align_corners=False)
            found.append(through(number, larger))
            beside = down.pop()
            out = found[-1] + beside if self.options.skips else found[-1]
        for number in (7, 8):
            out = through(number, out)
            found.append(out)
        return [*found, self.get_submodule("conv9")(out)]
