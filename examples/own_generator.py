"""A user-defined generator, compressed: it need not be registered, nor written for slimgen.

Name it by its import path in a recipe, with Python's path set to this folder:

    slimgen data townhouses days --layout unpaired
    PYTHONPATH=examples slimgen run examples/own_generator.yaml --data days --out runs/own

or prune its filters from Python:

    python examples/own_generator.py
"""

import random

import torch
from torch import Tensor, nn


class Squeezer(nn.Module):
    """A generator that halves the size, runs some blocks and doubles the size again.

    It has a concatenation, residual sums and depthwise convolutions, all of which pruning must handle.

    Args:
        hidden: channels at half the size.
        blocks: number of blocks.
    """

    def __init__(self, hidden: int = 24, blocks: int = 2) -> None:
        super().__init__()
        self.shrink = nn.Sequential(nn.Conv2d(3, hidden, 4, 2, 1), nn.BatchNorm2d(hidden), nn.ReLU())
        self.blocks = nn.ModuleList(Block(hidden) for _ in range(blocks))
        self.mix = nn.Sequential(nn.Conv2d(2 * hidden, hidden, 1), nn.InstanceNorm2d(hidden, affine=True), nn.ReLU())
        self.grow = nn.Sequential(nn.ConvTranspose2d(hidden, hidden // 2, 4, 2, 1), nn.ReLU())
        self.paint = nn.Conv2d(hidden // 2 + 3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) with even sides to images of the same shape in [-1, 1]."""
        first = inside = self.shrink(images)
        for block in self.blocks:
            inside = block(inside)
        grown = self.grow(self.mix(torch.cat([inside, first], 1)))
        return torch.tanh(self.paint(torch.cat([images, grown], 1)))


class Block(nn.Module):
    """An inverted residual block: widen, depthwise convolution, narrow, and add the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 2 * width
        self.layers = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, width, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Map features to features of the same shape."""
        return hidden + self.layers(hidden)


def main() -> None:
    """Prune a random half of the filters, and print the savings."""
    from slimgen.nets.co_evolution.filters import FilterSpace

    net = Squeezer().eval()
    filters = FilterSpace(net, torch.zeros(1, 3, 64, 64))
    genotype = filters.space.sample(random.Random(0))
    small = filters.cut(genotype)
    whole, left = filters.cost(filters.space.largest(), 64, 64), filters.cost(genotype, 64, 64)
    for name, mask in genotype.items():
        print(f"{name:28} {str(mask).count('1'):3} of {len(str(mask)):3} filters")
    print(f"{whole.params:,} parameters and {whole.exact:,} MACs, of which {left.params:,} and {left.exact:,} stay")
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        off = (small(images) - filters.masked(genotype)(images)).abs().max()
    print(f"images differ from those of the masked network by at most {off:.1e}")


if __name__ == "__main__":
    main()
