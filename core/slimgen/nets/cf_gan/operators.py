"""The operators that a block of CF-GAN's image-translation space chooses from (section 3.1)."""

from collections.abc import Callable

from torch import Tensor, nn

from slimgen.nets.cf_gan.layers import ConvNorm, Index, all_of, sliced, strongest


class Conv3x3(nn.Module):
    """One convolution of the trunk; it has no inner width."""

    def __init__(self, trunk: int, inner: int) -> None:
        super().__init__()
        self.body = ConvNorm(trunk, trunk, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(N, trunk, H, W) to the same."""
        out: Tensor = self.body(images)
        return out


class Residual(nn.Module):
    """A chain of convolutions, the middle ones at the inner width, added to what enters."""

    def __init__(self, *chain: ConvNorm) -> None:
        super().__init__()
        self.chain = nn.Sequential(*chain)

    def forward(self, images: Tensor) -> Tensor:
        """(N, trunk, H, W) to the same."""
        out: Tensor = images + self.chain(images)
        return out


class ResBlock(Residual):
    """Two 3x3 convolutions with a skip."""

    def __init__(self, trunk: int, inner: int) -> None:
        super().__init__(ConvNorm(trunk, inner, 3), ConvNorm(inner, trunk, 3, relu=False))


class DwsBlock(Residual):
    """1x1, depthwise 3x3, 1x1, with a skip: the depthwise-separable block."""

    def __init__(self, trunk: int, inner: int) -> None:
        super().__init__(
            ConvNorm(trunk, inner, 1),
            ConvNorm(inner, inner, 3, depthwise=True),
            ConvNorm(inner, trunk, 1, relu=False),
        )


Operator = Conv3x3 | ResBlock | DwsBlock
BUILDERS: dict[str, Callable[[int, int], Operator]] = {"dws": DwsBlock, "conv3x3": Conv3x3, "resblock": ResBlock}
"""Operator name to a function of trunk and inner width."""


def sliced_operator(operator: nn.Module, trunk: Index, inner: int, live: bool) -> nn.Module:
    """An operator on some of its trunk's channels and the `inner` strongest of its inner ones.

    Its first norm ranks the inner channels (CF-GAN, A.6); the trunk's are ranked by whoever writes the trunk first.
    """
    if isinstance(operator, Conv3x3):
        return sliced(operator.body, trunk, trunk, live)
    if not isinstance(operator, Residual):
        raise TypeError(f"no operator of a trellis: {type(operator).__name__}")
    first, *middle, last = all_of(ConvNorm, operator.chain)
    kept = strongest(first.gamma, inner)
    if live and trunk is None and kept is None:
        return operator
    return Residual(
        sliced(first, kept, trunk, live),
        *(sliced(layer, kept, kept, live) for layer in middle),
        sliced(last, trunk, kept, live),
    )
