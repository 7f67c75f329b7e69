"""Parts shared by the generators that take noise: first and last layers, and the normal operations of cells."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from slimgen.cost.rows import Norm, Row
from slimgen.errors import RecipeError
from slimgen.nets.initial import initialise
from slimgen.nets.layers import Make, layers_of, norm_of, weights_of
from slimgen.nets.options import Width
from slimgen.nets.pieces import Piece
from slimgen.size import Size

DOUBLINGS = 3
_SIDES: int = 2**DOUBLINGS


def bottom(size: Size) -> Size:
    """Return the size of the first features: 4 x 4 for images of 32; raise RecipeError if doubling misses the size."""
    if any(side % _SIDES for side in size):
        raise RecipeError(f"the sides of images made from noise must be multiples of {_SIDES} pixels", size)
    return Size(*(side // _SIDES for side in size))


@dataclass(frozen=True)
class NoiseOptions:
    """The options of a generator that takes noise; raises RecipeError where one is out of range.

    Attributes:
        channels: number of channels of all features.
        latent: length of the noise.
        size: height and width of the images in pixels, multiples of 8; null is 32. It must equal the recipe's size.
        outputs: channels of the images.
    """

    channels: Width = 256
    latent: Width = 128
    size: Size | None = None
    outputs: Width = 3

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", Size.of(self.size))
        if min(self.channels, self.latent, self.outputs) < 1:
            got = f"channels={self.channels}, latent={self.latent}, outputs={self.outputs}"
            raise RecipeError("channels, latent and outputs of a generator that takes noise must be at least 1", got)

    def made(self, height: int, width: int) -> Size:
        """Return the size of the images; raise RecipeError where it differs from the option `size`."""
        size = Size(height, width)
        if self.size is not None and self.size != size:
            raise RecipeError(f"this generator makes images of {self.size}", size, "set its option size to the same")
        return size

    def ends(self, size: Size) -> tuple[Row, Row, Row]:
        """Return the first row, from noise to features, and the last two, from features to an image."""
        features = self.channels
        linear = Row("linear", "linear", self.latent, features * math.prod(bottom(size)))
        norm = Row("norm", "norm", features, features, norm="batch", after=("relu",))
        return linear, norm, Row("image", "convolution", features, self.outputs, after=("tanh",))


class Ends(nn.Module):
    """The first layer of a generator, from noise to features, and the last ones, from features to an image."""

    def __init__(self, options: NoiseOptions) -> None:
        super().__init__()
        size = Size(32, 32) if options.size is None else options.size
        linear, norm, image = options.ends(size)
        self.linear = weights_of(linear)
        self.unflatten = nn.Unflatten(1, (options.channels, *bottom(size)))
        self.image = nn.Sequential(norm_of(norm), nn.ReLU(), weights_of(image), nn.Tanh())

    def forward(self, noise: Tensor, middle: Callable[[Tensor], Tensor]) -> Tensor:
        """Map noise (N, latent) to images (N, outputs, H, W) in [-1, 1]; `middle` enlarges features 8 times."""
        images: Tensor = self.image(middle(self.unflatten(self.linear(noise))))
        return images


def end_pieces(options: NoiseOptions, size: Size) -> tuple[Piece, Piece]:
    """Return the layers before and after a generator's middle as pieces, for images of this size."""
    channels, shape = options.channels, (1, options.channels, *size)

    def ends() -> Ends:
        return initialise(Ends(replace(options, size=size)), 0).eval()

    return (
        Piece(f"noise of {options.latent} to {channels} x {bottom(size)}", lambda: _first(ends()), (1, options.latent)),
        Piece(f"image of {'x'.join(map(str, shape))}", lambda: ends().image, shape),
    )


def _first(ends: Ends) -> nn.Module:
    return nn.Sequential(ends.linear, ends.unflatten)


NORMAL = ("conv_1x1", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_3x3", "conv_5x5")
"""The normal operations, smallest first."""
_FREE: dict[str, Make] = {"relu": lambda row: nn.ReLU(), "identity": lambda row: nn.Identity()}


def key_of(name: str) -> str:
    """Return the module name of a choice: PyTorch allows no dots."""
    return name.replace(".", "_")


def run_named(operations: nn.ModuleDict, name: str, features: Tensor) -> Tensor:
    """Apply the operation of a choice."""
    out: Tensor = operations[key_of(name)](features)
    return out


def normal_rows(
    operation: str, inputs: int, outputs: int, part: int = 1, norm: Norm = "batch", first: str = "relu"
) -> tuple[Row, ...]:
    """Return the rows of a normal operation.

    A dense one is a ReLU and a convolution; a separable one is twice a ReLU, a depthwise and a 1x1 convolution, a norm.

    Args:
        operation: one of `NORMAL`.
        inputs: input channels.
        outputs: output channels.
        part: as in `Row`.
        norm: of separable convolutions; without one they have biases.
        first: the layer before a dense convolution, `relu` or `identity`: a ReLU would drop half of an image's range.
    """
    kernel = int(operation[-1])
    if operation.startswith("conv"):
        return (Row("conv", "convolution", inputs, outputs, kernel, part, before=(first,)),)
    deep = Row("deep", "depthwise", inputs, inputs, kernel, part, bias=False, before=("relu",))
    point = Row("point", "convolution", inputs, inputs, 1, part, bias=not norm, norm=norm)
    return deep, point, deep, point._replace(outputs=outputs)


class Normal(nn.Sequential):
    """The normal operation that `normal_rows` describes; `wrap` is applied to each convolution (a spectral norm)."""

    def __init__(self, rows: Sequence[Row], wrap: Callable[[nn.Module], nn.Module] = lambda conv: conv) -> None:
        super().__init__(*(layer for row in rows for layer in layers_of(row, _FREE, lambda row: wrap(weights_of(row)))))
