"""The layers of CF-GAN's super-resolution space: convolutions with a learned scale per channel, and blocks of them."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Row
from slimgen.nets.functional import OutputConvolution

QUIET = 0.1
"""The share of the initial weights' deviation in the last convolution of a residual block, since without norms features
would grow with the depth, and in the network's last one, so that a generator begins as bicubic enlargement.

In the last alone: were all convolutions of a block as small, their product would be, and so would the gradients of
each, and training would lose its first hundreds of updates to their growth."""


class Convolution(nn.Module):
    """A convolution that keeps the size, with a ReLU where the row asks for it."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.conv = nn.Conv2d(row.inputs, row.outputs, row.kernel, padding=row.kernel // 2, groups=row.groups)
        self.relu = "relu" in row.after

    def forward(self, images: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) to (N, outputs, H, W)."""
        out: Tensor = self.conv(images)
        return torch.relu_(out) if self.relu else out


class ScaledConvolution(Convolution):
    """A convolution whose outputs are multiplied by a learned scale per channel before its bias is added.

    The scale is CF-GAN's factor gamma (A.6) in networks without norms, such as ESRGAN's. It is multiplied into the
    weights, which gives the same outputs and keeps no further features for the backward pass.
    """

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.scale = nn.Parameter(torch.ones(row.outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) to (N, outputs, H, W)."""
        conv = self.conv
        out = functional.conv2d(images, self.kernel(), conv.bias, padding=conv.padding, groups=conv.groups)
        return torch.relu_(out) if self.relu else out

    def kernel(self) -> Tensor:
        """Return the weights (outputs, inputs / groups, K, K) times the scales."""
        return self.conv.weight * self.scale.view(-1, 1, 1, 1)


class LastConvolution(OutputConvolution):
    """The convolution whose output is added to the enlarged input."""

    initial_scale: ClassVar[float] = QUIET


class RecursiveBlock(nn.Module):
    """A residual block that is applied several times with the same weights (ESRN; CF-GAN, section 4.2).

    Args:
        chain: its convolutions.
        times: how often it is applied, its recursive number.
        pooled: whether the convolutions see features averaged over 2 x 2 pixels, whose outputs are enlarged again.
    """

    def __init__(self, *chain: nn.Module, times: int = 1, pooled: bool = False) -> None:
        super().__init__()
        self.chain, self.times, self.pooled = nn.Sequential(*chain), times, pooled
        chain[-1].initial_scale = QUIET  # type: ignore[assignment]  # read by `initialise`

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, trunk, H, W) to the same shape."""
        for _ in range(self.times):
            images = images + self._branch(images)
        return images

    def _branch(self, images: Tensor) -> Tensor:
        if not self.pooled:
            return self.chain(images)  # type: ignore[no-any-return]
        context = self.chain(functional.avg_pool2d(images, 2, ceil_mode=True))
        # To the exact size, since odd sides were rounded up; the positions are those of an enlargement by 2.
        return functional.interpolate(context, size=images.shape[-2:], mode="nearest")


class Climb(nn.Module):
    """Nearest enlargement and a convolution, plus a 1x1 skip from the stem's feature, enlarged to the same size."""

    def __init__(self, body: nn.Module, skip: nn.Module, grow: int, lift: int) -> None:
        super().__init__()
        self.body, self.skip, self.grow, self.lift = body, skip, grow, lift

    def forward(self, images: Tensor, stem: Tensor) -> Tensor:
        """Map (N, C, H, W) and the stem's (N, S, h, w) to (N, C', grow H, grow W), which is (N, C', lift h, lift w)."""
        out: Tensor = self.body(enlarged(images, self.grow)) + enlarged(self.skip(stem), self.lift)
        return out


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Enlarge images (N, C, H, W) by a whole factor, each pixel repeated."""
    return functional.interpolate(images, scale_factor=float(factor), mode="nearest")


def factor_in(names: tuple[str, ...]) -> int:
    """Return the factor of the enlargement among a row's layers without weights, such as 2 of `x2`; 1 for none."""
    return next((int(name[1:]) for name in names if name[0] == "x" and name[1:].isdigit()), 1)


def build_upscaling(rows: tuple[Row, ...], scaled: bool, times: int) -> nn.Module:
    """Build the module of a layer's rows: a convolution, a climb, or a block that is applied `times` times.

    Args:
        rows: as `upscale_space.rows_of` gives them, except for the output's.
        scaled: whether convolutions have scales; without, as in a generator that stands alone, they are in the weights.
        times: of a block.
    """
    convs = [ScaledConvolution(row) if scaled else Convolution(row) for row in rows]
    if rows[0].name == "climb":
        return Climb(convs[0], convs[1], factor_in(rows[0].before), factor_in(rows[1].after))
    if len(convs) == 1:
        return convs[0]
    return RecursiveBlock(*convs, times=times, pooled="pool" in rows[0].before)
