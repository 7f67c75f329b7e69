"""The U-Net generator of pix2pix (Isola et al. 2017): an encoder and a decoder with a skip at every scale."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost, batch_norm, convolution, instance_norm, total, transposed, widest
from slimgen.errors import SlimgenError, nearest
from slimgen.nets.norm import InstanceNorm2d

NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": InstanceNorm2d}
_KERNEL = 4
_SLOPE = 0.2


def _check_size(height: int, width: int, depth: int) -> None:
    if height < 1 or width < 1 or height % 2**depth or width % 2**depth:
        raise SlimgenError(
            f"a U-Net of depth {depth} needs sides that are multiples of {2**depth} pixels",
            f"{height} x {width}",
            "choose another size, or a smaller depth",
        )


def _check_options(inputs: int, outputs: int, ngf: int, depth: int, norm: str, dropout: float) -> None:
    if norm not in NORMS:
        raise SlimgenError("a U-Net needs a known norm", repr(norm), nearest(norm, NORMS))
    if min(inputs, outputs, ngf) < 1 or depth < 2 or not 0 <= dropout < 1:
        raise SlimgenError(
            "a U-Net needs channels of at least 1, a depth of at least 2 and dropout in [0, 1)",
            f"{inputs=}, {outputs=}, {ngf=}, {depth=}, {dropout=}",
        )


def _widths(ngf: int, depth: int) -> list[int]:
    """Channels at 1/2, 1/4 ... of the size: doubling, at most eight-fold."""
    return [ngf * min(2**level, 8) for level in range(depth)]


def unet_cost(
    height: int,
    width: int | None = None,
    *,
    inputs: int = 3,
    outputs: int = 3,
    ngf: int = 64,
    depth: int = 8,
    norm: str = "batch",
    dropout: float = 0.0,
) -> Cost:
    """The cost of `UnetGenerator` in closed form; its arguments are the options of the network, after the image size.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        inputs: channels of the input.
        outputs: channels of the output.
        ngf: channels at half of the size.
        depth: halvings.
        norm: `batch` or `instance`.
        dropout: free.

    Raises:
        SlimgenError: the sides are no multiples of 2**depth, or an option is out of range.
    """
    width = height if width is None else width
    _check_options(inputs, outputs, ngf, depth, norm, dropout)
    _check_size(height, width, depth)
    bias = norm == "instance"
    widths = _widths(ngf, depth)

    def normed(channels: int, size: tuple[int, int]) -> Cost:
        return instance_norm(channels, *size) if norm == "instance" else batch_norm(channels)

    sizes = [(height >> level, width >> level) for level in range(depth + 1)]
    costs = [
        convolution(inputs, ngf, _KERNEL, *sizes[1], bias=bias),
        transposed(2 * ngf, outputs, _KERNEL, *sizes[1], *sizes[0]),
    ]
    for level, (outer, inner) in enumerate(pairwise(widths), start=1):
        deepest = level == depth - 1
        around = inner if deepest else 2 * inner
        costs.append(convolution(outer, inner, _KERNEL, *sizes[level + 1], bias=bias))
        if not deepest:
            costs.append(normed(inner, sizes[level + 1]))
        costs.append(transposed(around, outer, _KERNEL, *sizes[level + 1], *sizes[level], bias=bias))
        costs.append(normed(outer, sizes[level]))
    return total(costs)


def narrowed_ngf(
    limit_macs: int,
    convention: str,
    height: int,
    width: int | None = None,
    *,
    inputs: int = 3,
    outputs: int = 3,
    depth: int = 8,
    norm: str = "batch",
) -> int:
    """The largest `ngf` whose U-Net stays within a MAC limit: the uniformly narrowed rival of a search.

    Raises:
        BudgetError: even `ngf` 1 is above the limit.
        SlimgenError: the network cannot take images of this size, or the convention is not known.
    """

    def cost_of(ngf: int) -> Cost:
        return unet_cost(height, width, inputs=inputs, outputs=outputs, ngf=ngf, depth=depth, norm=norm)

    return widest(cost_of, limit_macs, convention)


class SkipBlock(nn.Module):
    """One scale of the U-Net and all below it: halve, the next block, double, and the input beside the result.

    Args:
        outer: channels this block takes, and returns twice (the outermost returns `outputs` instead).
        inner: channels at half of the size.
        within: the next block; None at the bottom.
        norm: class of the norms; convolutions have a bias exactly when it is InstanceNorm.
        dropout: probability of dropping at the end, 0 for no dropout layer.
    """

    def __init__(
        self, outer: int, inner: int, within: nn.Module | None, norm: type[nn.Module], dropout: float = 0.0
    ) -> None:
        super().__init__()
        bias = norm is InstanceNorm2d
        layers: list[nn.Module] = [nn.LeakyReLU(_SLOPE), nn.Conv2d(outer, inner, _KERNEL, 2, 1, bias=bias)]
        if within is not None:
            layers += [norm(inner), within]
        around = inner if within is None else 2 * inner
        layers += [nn.ReLU(), nn.ConvTranspose2d(around, outer, _KERNEL, 2, 1, bias=bias), norm(outer)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, outer, H, W) to (N, 2 * outer, H, W): what came, then what was made of it."""
        return torch.cat([x, self.model(x)], dim=1)


class OutermostBlock(nn.Module):
    """The scale of the images: no norm around it, no skip, and tanh at the end."""

    def __init__(self, inputs: int, outputs: int, inner: int, within: nn.Module, bias: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, inner, _KERNEL, 2, 1, bias=bias),
            within,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * inner, outputs, _KERNEL, 2, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]."""
        out: Tensor = self.model(x)
        return out


class UnetGenerator(nn.Module):
    """The U-Net generator: `depth` convolutions 4x4 of stride 2 and as many transposed ones, with skips between.

    The names in the state dict are those of the published pix2pix checkpoints. With `ngf` 64, depth 8 and BatchNorm
    it has 54,413,955 parameters. At batch size 1 that BatchNorm should stay in training, as in pix2pix itself.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        ngf: channels at half of the size; doubled by each next scale up to eight-fold.
        depth: halvings; images have sides that are multiples of 2**depth.
        norm: `batch`, or `instance` (not affine).
        dropout: probability of dropping in the decoder's widest scales but the deepest (0.5 in pix2pix).

    Raises:
        SlimgenError: an option is out of range.
    """

    cost = staticmethod(unet_cost)

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        ngf: int = 64,
        depth: int = 8,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_options(inputs, outputs, ngf, depth, norm, dropout)
        self.depth = depth
        widths = _widths(ngf, depth)
        made = NORMS[norm]
        block = SkipBlock(widths[-2], widths[-1], None, made)
        for outer, inner in reversed(list(pairwise(widths[:-1]))):
            block = SkipBlock(outer, inner, block, made, dropout if outer == inner else 0.0)
        self.model = OutermostBlock(inputs, outputs, ngf, block, bias=norm == "instance")

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1].

        Raises:
            SlimgenError: H or W is no multiple of 2**depth.
        """
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            _check_size(x.shape[-2], x.shape[-1], self.depth)
        out: Tensor = self.model(x)
        return out
