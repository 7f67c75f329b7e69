"""A published generator, adopted: SRGAN's, which enlarges pictures four times (Ledig et al. 2017, Figure 4).

Slimgen needs only the class, which is named by its file. The weights are from https://github.com/leftthomas/SRGAN
(MIT):

    slimgen adopt netG_epoch_4_100.pth examples/srgan.py:Srgan --data benchmarks --out runs/srgan

With Set5 and Set14 as folders in `benchmarks`, the table has 30.66 and 27.69 dB (`psnr_y`) beside 28.43 and 26.09 dB of
bicubic enlargement: whole pictures, made smaller four times, enlarged by the network and compared with the originals.
`generator.onnx` takes pictures of any size.
"""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A residual block: conv3, norm, PReLU, conv3, norm, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.prelu = nn.PReLU()
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features of the same shape."""
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class Doubling(nn.Module):
    """A block that doubles the size: four times the channels, rearranged as squares of pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.shuffle = nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, 2 H, 2 W)."""
        return self.prelu(self.shuffle(self.conv(x)))


class Srgan(nn.Module):
    """SRGAN's generator, for pictures in [-1, 1].

    The published network takes pictures in [0, 1] and returns (tanh + 1) / 2 in [0, 1]. Here the input is rescaled to
    that range, and the output is the tanh itself.

    Args:
        channels: channels of the trunk.
        blocks: number of residual blocks.
        doublings: number of times that the size is doubled.
    """

    def __init__(self, channels: int = 64, blocks: int = 5, doublings: int = 2) -> None:
        super().__init__()
        self.names = [f"block{number}" for number in range(2, blocks + 3)]
        self.block1 = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        for name in self.names[:-1]:
            self.add_module(name, Residual(channels))
        self.add_module(self.names[-1], nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()))
        last = nn.Conv2d(channels, 3, 9, padding=4)
        self.add_module(f"block{blocks + 3}", nn.Sequential(*(Doubling(channels) for _ in range(doublings)), last))
        self.last = f"block{blocks + 3}"

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to pictures (N, 3, 4 H, 4 W), both in [-1, 1]."""
        first = inside = self.block1((images + 1) / 2)
        for name in self.names:
            inside = self.get_submodule(name)(inside)
        return torch.tanh(self.get_submodule(self.last)(first + inside))
