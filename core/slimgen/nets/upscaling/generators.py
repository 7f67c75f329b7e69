"""Generators that enlarge pictures: SRResNet, RRDBNet and SRVGGNetCompact, with the names of BasicSR's checkpoints.

Published weights take and make pictures in [0, 1]; here pictures are in [-1, 1], as everywhere in slimgen, and are
rescaled on the way in and out.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Row
from slimgen.nets.initial import GLOROT, initialise
from slimgen.nets.layers import Described, weights_of
from slimgen.nets.pieces import Piece, Twice
from slimgen.nets.upscaling.description import EnlargingOptions, RrdbnetOptions, SrresnetOptions, SrvggOptions

QUIET = 0.1
"""The share of the initial weights' deviation inside residual blocks, as in ESRGAN and BasicSR."""
_BRANCH = 0.2  # the share of a dense block's output that is added to its input (ESRGAN, Figure 4)


class QuietConvolution(nn.Conv2d):
    """A convolution with small initial weights."""

    initial_scale = QUIET


class Brightness(nn.Module):
    """A change of the range of values: from [-1, 1] to [0, 1], or back."""

    def __init__(self, *, back: bool = False) -> None:
        super().__init__()
        self.back = back

    def forward(self, images: Tensor) -> Tensor:
        """Map images of any shape to images of the same shape."""
        return 2 * images - 1 if self.back else (images + 1) / 2


class Doubling(nn.Module):
    """The enlargement of features to twice their size, each pixel repeated."""

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, H, W) to features (N, C, 2 H, 2 W)."""
        return functional.interpolate(features, scale_factor=2.0, mode="nearest")


class Base(nn.Module):
    """The enlarged input that is added to an output."""

    def __init__(self, scale: int, mode: str) -> None:
        super().__init__()
        self.scale, self.mode = scale, mode

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to images (N, C, scale H, scale W)."""
        if self.scale == 1:
            return images
        corners = False if self.mode == "bilinear" else None
        return functional.interpolate(images, scale_factor=float(self.scale), mode=self.mode, align_corners=corners)


class Enlarging(Described):
    """Common part of generators that enlarge pictures; see `EnlargingOptions`."""

    options: EnlargingOptions
    initial: ClassVar[str] = GLOROT
    family: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rows = {row.name: row for row in self.options.rows()}
        self.enter, self.leave = Brightness(), Brightness(back=True)

    def layer(self, name: str) -> nn.Module:
        """Build the layer with weights of a row."""
        row = self.rows[name]
        return nn.PReLU(row.outputs) if row.kind == "prelu" else weights_of(row)

    def entered(self, images: Tensor) -> Tensor:
        """Return the images in [0, 1] after a check of their size."""
        if isinstance(images.shape[-1], int):  # while a graph is exported, sizes are symbols
            self.options.check_size(images.shape[-2], images.shape[-1])
        out: Tensor = self.enter(images)
        return out

    @classmethod
    def piece(cls, options: Mapping[str, Any], key: str, shape: Sequence[int], *layers: str | nn.Module) -> Piece:
        """Return a piece of the generator: layers, its own by name, whose input has this shape."""

        def build() -> nn.Module:
            with torch.device("meta"):
                net = cls(**options)
            found = [net.get_submodule(layer) if isinstance(layer, str) else layer for layer in layers]
            return initialise(nn.Sequential(*found).to_empty(device="cpu"), 0).eval()

        return Piece(f"{cls.family} {key} of {'x'.join(map(str, shape))}", build, tuple(shape))


class ResidualBlock(nn.Module):
    """A residual block without norms: conv3, ReLU, conv3, plus the input."""

    initial_scale = QUIET

    def __init__(self, conv1: nn.Module, conv2: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.relu = conv1, conv2, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to the same shape."""
        out: Tensor = x + self.conv2(self.relu(self.conv1(x)))
        return out


class Srresnet(Enlarging):
    """SRResNet (Ledig et al. 2017) as BasicSR has it: no norms, and the bilinearly enlarged input is added.

    With 64 channels, 16 blocks and scale 4 it has 1,517,571 parameters; its state dict has the names of BasicSR's
    MSRResNet. Options and errors: see `SrresnetOptions`.
    """

    Options = SrresnetOptions
    options: SrresnetOptions
    family = "srresnet"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        places = [f"body.{number}.conv" for number in range(self.options.blocks)]
        self.conv_first = self.layer("conv_first")
        self.body = nn.Sequential(*(ResidualBlock(self.layer(f"{at}1"), self.layer(f"{at}2")) for at in places))
        for number, factor in enumerate(self.options.factors, start=1):
            self.add_module(f"upconv{number}", self.layer(f"upconv{number}"))
            self.add_module(f"shuffle{number}", nn.PixelShuffle(factor))
        self.conv_hr, self.conv_last = self.layer("conv_hr"), self.layer("conv_last")
        self.lrelu, self.base = nn.LeakyReLU(0.1), Base(self.options.scale, "bilinear")

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to images (N, inputs, scale H, scale W), both in [-1, 1]."""
        x = self.entered(images)
        features = self.body(self.lrelu(self.conv_first(x)))
        for number in range(1, 1 + len(self.options.factors)):
            for layer in _up(number):
                features = self.get_submodule(layer)(features)
        out: Tensor = self.leave(self.conv_last(self.lrelu(self.conv_hr(features))) + self.base(x))
        return out

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Return first layer, blocks, enlargements, last layers and the sum with the enlarged input as pieces."""
        about = SrresnetOptions(**options)
        about.check_size(height, width)
        trunk, blocks, ups, high = about.parts
        image, piece = (1, about.inputs, height, width), partial(cls.piece, options)
        found = [piece(f"first {trunk}", image, "enter", "conv_first", "lrelu")]
        for number, inner in enumerate(blocks):
            shape = (1, trunk, height, width)
            found.append(piece(f"block {inner}", shape, f"body.{number}"))
        shape = (1, trunk, height, width)
        for number, (factor, after) in enumerate(zip(about.factors, ups, strict=True), start=1):
            found.append(piece(f"x{factor} {after}", shape, *_up(number)))
            shape = (1, after, factor * shape[2], factor * shape[3])
        found.append(piece(f"high {high}", shape, "conv_hr", "lrelu"))
        found.append(piece(f"last {about.outputs}", (1, high, *shape[2:]), "conv_last"))
        return [*found, piece(f"base x{about.scale}", image, "base", Twice(), "leave")]


def _up(number: int) -> tuple[str, ...]:
    """Return the names of the layers of an SRResNet's enlargement, counted from 1."""
    return f"upconv{number}", f"shuffle{number}", "lrelu"


class DenseBlock(nn.Module):
    """A dense block (RDB): each convolution reads all features before it; a fifth of the last one's output is added."""

    initial_scale = QUIET

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.names = [part.name for part in row.within]
        for part in row.within:
            self.add_module(part.name, weights_of(part))
        self.lrelu = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to the same shape."""
        features = x
        for name in self.names[:-1]:
            features = torch.cat([features, self.lrelu(self.get_submodule(name)(features))], 1)
        out: Tensor = self.get_submodule(self.names[-1])(features) * _BRANCH + x
        return out


class Rrdb(nn.Module):
    """A residual-in-residual dense block (Wang et al. 2018, Figure 4): a fifth of three dense blocks is added."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = map(DenseBlock, rows)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to the same shape."""
        out: Tensor = self.rdb3(self.rdb2(self.rdb1(x))) * _BRANCH + x
        return out


class Rrdbnet(Enlarging):
    """RRDBNet, the generator of ESRGAN (Wang et al. 2018) and Real-ESRGAN (Wang et al. 2021).

    With 64 channels, 23 blocks and scale 4 it has 16,697,987 parameters; its state dict has BasicSR's names, and files
    with ESRGAN's older ones are imported too. Options and errors: see `RrdbnetOptions`.
    """

    Options = RrdbnetOptions
    options: RrdbnetOptions
    family = "rrdbnet"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        shrinks = self.options.shrinks
        self.unshuffle: nn.Module = nn.PixelUnshuffle(shrinks) if shrinks > 1 else nn.Identity()
        self.conv_first = self.layer("conv_first")
        dense = [[self.rows[f"body.{at}.rdb{step}"] for step in (1, 2, 3)] for at in range(self.options.blocks)]
        self.body = nn.Sequential(*map(Rrdb, dense))
        # Each block makes its input a fifth larger, so the last of many hands on features that are far too large.
        trunk = self.rows["conv_body"].outputs
        self.conv_body = QuietConvolution(trunk, trunk, 3, padding=1)
        self.conv_up1, self.conv_up2 = self.layer("conv_up1"), self.layer("conv_up2")
        self.conv_hr, self.conv_last = self.layer("conv_hr"), self.layer("conv_last")
        self.enlarge, self.lrelu = Doubling(), nn.LeakyReLU(0.2)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to images (N, outputs, scale H, scale W), both in [-1, 1].

        With scale 2, H and W must be multiples of 2; with scale 1, of 4.
        """
        features = self.conv_first(self.unshuffle(self.entered(images)))
        features = features + self.conv_body(self.body(features))
        for convolution in (self.conv_up1, self.conv_up2):
            features = self.lrelu(convolution(self.enlarge(features)))
        out: Tensor = self.leave(self.conv_last(self.lrelu(self.conv_hr(features))))
        return out

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Return first layer, blocks, the trunk's sum, enlargements and last layers as pieces; equal blocks alike."""
        about = RrdbnetOptions(**options)
        about.check_size(height, width)
        trunk, chains, ups, high = about.parts
        sides, piece = (height // about.shrinks, width // about.shrinks), partial(cls.piece, options)
        image, inside = (1, about.inputs, height, width), (1, trunk, *sides)
        found = [piece(f"first {trunk} of 1/{about.shrinks}", image, "enter", "unshuffle", "conv_first")]
        for number in range(about.blocks):
            widths = "_".join(str(one) for chain in chains[3 * number : 3 * number + 3] for one in chain)
            found.append(piece(f"block {widths}", inside, f"body.{number}"))
        found.append(piece("trunk", inside, "conv_body", Twice()))
        shapes = inside, (1, ups[0], *(2 * side for side in sides)), (1, ups[1], *(4 * side for side in sides))
        found.append(piece(f"x2 {ups[0]}", shapes[0], "enlarge", "conv_up1", "lrelu"))
        found.append(piece(f"x2 {ups[1]}", shapes[1], "enlarge", "conv_up2", "lrelu"))
        found.append(piece(f"high {high}", shapes[2], "conv_hr", "lrelu"))
        last = piece(f"last {about.outputs}", (1, high, *shapes[2][2:]), "conv_last", "leave")
        return [*found, last]


class Srvgg(Enlarging):
    """SRVGGNetCompact of Real-ESRGAN (Wang et al. 2021): a stack of convolutions with PReLUs, and a pixel shuffle.

    The input is added, each pixel repeated. The state dict has the names of the published files. Options and errors:
    see `SrvggOptions`.
    """

    Options = SrvggOptions
    options: SrvggOptions
    family = "srvgg"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.body = nn.Sequential(*map(self.layer, self.rows))
        self.shuffle, self.base = nn.PixelShuffle(self.options.scale), Base(self.options.scale, "nearest")

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to images (N, inputs, scale H, scale W), both in [-1, 1]."""
        x = self.entered(images)
        out: Tensor = self.leave(self.shuffle(self.body(x)) + self.base(x))
        return out

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Return each convolution with its PReLU, the shuffle and the sum with the enlarged input as pieces."""
        about = SrvggOptions(**options)
        about.check_size(height, width)
        image, piece = (1, about.inputs, height, width), partial(cls.piece, options)
        first, *rest = about.parts
        found = [piece(f"first {first}", image, "enter", "body.0", "body.1")]
        before = first
        for number, after in enumerate(rest, start=1):
            shape = (1, before, height, width)
            found.append(piece(f"conv {after}", shape, f"body.{2 * number}", f"body.{2 * number + 1}"))
            before = after
        shape = (1, before, height, width)
        found.append(piece(f"last x{about.scale}", shape, f"body.{2 * len(about.parts)}", "shuffle"))
        return [*found, piece(f"base x{about.scale}", image, "base", Twice(), "leave")]
