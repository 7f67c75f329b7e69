"""The mobile ResNet generator of GAN Compression (Li et al. 2020, section 3.2): separable residual blocks."""

from torch import Tensor, nn

from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.resnet.cost import mobile_resnet_cost
from slimgen.nets.resnet.generator import ResidualBlock, ResnetGenerator

__all__ = ["MobileResidualBlock", "MobileResnetGenerator", "SeparableConvolution", "mobile_resnet_cost"]


class SeparableConvolution(nn.Module):
    """Depthwise 3x3 without padding, InstanceNorm, pointwise 1x1; both convolutions with a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, groups=inputs), InstanceNorm2d(inputs), nn.Conv2d(inputs, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to features (N, outputs, H - 2, W - 2)."""
        out: Tensor = self.conv(x)
        return out


class MobileResidualBlock(ResidualBlock):
    """A residual block whose two convolutions are separable."""

    def convolution(self, inputs: int, outputs: int) -> nn.Module:
        """One of the two convolutions."""
        return SeparableConvolution(inputs, outputs)


class MobileResnetGenerator(ResnetGenerator):
    """A `ResnetGenerator` with separable residual blocks; stem, halvings, doublings and output stay dense.

    With `ngf` 64 and 9 blocks it has 1,987,075 parameters. Options, names and errors as of `ResnetGenerator`.
    """

    cost = staticmethod(mobile_resnet_cost)
    block = MobileResidualBlock
