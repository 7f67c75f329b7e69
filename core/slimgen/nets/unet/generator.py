"""The U-Net generator of pix2pix (Isola et al. 2017): an encoder and a decoder with a skip at every scale."""

import torch
from torch import Tensor, nn

from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.unet.cost import KERNEL, UnetWidths, check_options, check_size, unet_cost

__all__ = ["OutermostBlock", "SkipBlock", "UnetGenerator", "unet_cost"]

NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": InstanceNorm2d}
_SLOPE = 0.2
_EIGHTFOLD = 3  # the scale, from 0, at which channels have doubled for the last time


class SkipBlock(nn.Module):
    """One scale of the U-Net and all below it: halve, the next block, double, and the input beside the result.

    Args:
        outer: channels that this block takes, and returns unchanged beside what it makes of them.
        inner: channels at half of the size.
        around: channels that come back from half of the size: `inner`, and what the next block adds.
        made: channels that it makes.
        within: the next block; None at the bottom.
        norm: class of the norms; convolutions have a bias exactly when it is InstanceNorm.
        dropout: probability of dropping at the end, 0 for no dropout layer.
    """

    def __init__(
        self,
        outer: int,
        inner: int,
        around: int,
        made: int,
        within: nn.Module | None,
        norm: type[nn.Module],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        bias = norm is InstanceNorm2d
        layers: list[nn.Module] = [nn.LeakyReLU(_SLOPE), nn.Conv2d(outer, inner, KERNEL, 2, 1, bias=bias)]
        if within is not None:
            layers += [norm(inner), within]
        layers += [nn.ReLU(), nn.ConvTranspose2d(around, made, KERNEL, 2, 1, bias=bias), norm(made)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, outer, H, W) to (N, outer + made, H, W): what came, then what was made of it."""
        return torch.cat([x, self.model(x)], dim=1)


class OutermostBlock(nn.Module):
    """The scale of the images: no norm around it, no skip, and tanh at the end."""

    def __init__(self, inputs: int, outputs: int, inner: int, around: int, within: nn.Module, bias: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, inner, KERNEL, 2, 1, bias=bias),
            within,
            nn.ReLU(),
            nn.ConvTranspose2d(around, outputs, KERNEL, 2, 1),
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
        widths: of every scale, in place of `ngf`, as pruning leaves them; see `UnetWidths`.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the widths are malformed.
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
        widths: object = None,
    ) -> None:
        super().__init__()
        check_options(inputs, outputs, ngf, depth, norm, dropout)
        self.depth = depth
        down, up = UnetWidths.of(ngf, depth, widths)
        around = [*(one + two for one, two in zip(down, up, strict=False)), down[-1]]
        block: nn.Module | None = None
        for level in reversed(range(1, depth)):
            # The scales of eight times `ngf` are dropped in, but for the deepest.
            drop = dropout if _EIGHTFOLD < level < depth - 1 else 0.0
            block = SkipBlock(down[level - 1], down[level], around[level], up[level - 1], block, NORMS[norm], drop)
        assert block is not None
        self.model = OutermostBlock(inputs, outputs, down[0], around[0], block, bias=norm == "instance")

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1].

        Raises:
            SlimgenError: H or W is no multiple of 2**depth.
        """
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            check_size(x.shape[-2], x.shape[-1], self.depth)
        out: Tensor = self.model(x)
        return out
