"""The residual generator of noise by hand: SN-GAN's for CIFAR-10 (Miyato et al. 2018, Table 4)."""

from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost, batch_norm, convolution, total
from slimgen.nets.alphagan.cost import ends_cost
from slimgen.nets.alphagan.generator import Ends
from slimgen.nets.alphagan.space import CELLS, bottom, check_sizes
from slimgen.nets.initial import GLOROT


def noise_resnet_cost(
    height: int, width: int, *, channels: int = 256, latent: int = 128, size: int | None = None
) -> Cost:
    """The cost of `NoiseResnet` for one image, in closed form.

    Args:
        height: of the image that it makes.
        width: equal to it.
        channels: of all features.
        latent: length of the noise.
        size: as of the network's option, equal to height and width.

    Raises:
        RecipeError: the size does not suit the network.
    """
    side = check_sizes(height, width, size)
    costs = [ends_cost(channels, latent, side)]
    for block in range(1, CELLS + 1):
        after = bottom(side) * 2**block
        conv = convolution(channels, channels, 3, after, after)
        costs += [conv.plus(batch_norm(channels)).times(2), convolution(channels, channels, 1, after, after)]
    return total(costs)


class UpBlock(nn.Module):
    """Two convolutions after norm and ReLU, the first behind a nearest x2; a 1x1 convolution as the shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, channels, 2 H, 2 W)."""
        out = self.conv1(_twice(functional.relu(self.norm1(features))))
        out = self.conv2(functional.relu(self.norm2(out))) + self.shortcut(_twice(features))
        return out  # type: ignore[no-any-return]


class NoiseResnet(nn.Module):
    """A linear layer, three residual blocks that double the size, norm, ReLU, a convolution and tanh.

    Args:
        channels: of all features.
        latent: length of the noise.
        size: side of the images in pixels, a multiple of 8.

    Raises:
        RecipeError: an option is out of range.
    """

    cost = staticmethod(noise_resnet_cost)
    initial = GLOROT

    def __init__(self, channels: int = 256, latent: int = 128, size: int = 32) -> None:
        super().__init__()
        self.ends = Ends(channels, latent, size)
        self.blocks = nn.Sequential(*(UpBlock(channels) for _ in range(CELLS)))

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, latent) of a standard normal distribution to images (N, 3, size, size) in [-1, 1]."""
        return self.ends.leave(self.blocks(self.ends.enter(noise)))


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
