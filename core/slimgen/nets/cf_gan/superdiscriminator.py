"""CF-GAN's super-discriminator: one path for each path of the super-generator (section 3.1, Figure 1a)."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from slimgen.nets.cf_gan.space import Path, paths
from slimgen.nets.norm import InstanceNorm2d


class SuperDiscriminator(nn.Module):
    """Patch discriminators that share weights; a generator's path picks the one that scores its images.

    A discriminator visits its generator's scales backwards: it starts at the last one and ends at the coarsest, 1/4 in
    image translation. At each scale it is as wide as the generator, up to the ratio of their base widths, so both have
    similar capacity at each resolution. All operators are convolutions, with different strides; every path's scores are
    pooled to half of the coarsest scale.

    Args:
        groups: number of the generator's groups.
        ndf: channels at full resolution; twice as many at 1/2 of the size, four times as many at 1/4.
        inputs: channels of its images; for paired tasks, of condition and image together.
        scales: the generator's scales, as parts of the output's sides, the coarsest first.
    """

    def __init__(self, groups: int, ndf: int = 32, inputs: int = 6, scales: Path = (4, 2, 1)) -> None:
        super().__init__()
        self.entries, self.nodes = nn.ModuleDict(), nn.ModuleDict()
        self.shrinks = 2 * scales[0]
        for path in paths(groups, scales):
            entry, *nodes = (name.partition(".")[2] for name in walk(path)[:-2])
            if entry not in self.entries:
                first = _convolution(inputs, ndf * path[-1], path[-1])
                self.entries[entry] = nn.Sequential(first, nn.LeakyReLU(0.2))
            for node, (before, scale) in zip(nodes, pairwise(reversed(path)), strict=True):
                if node not in self.nodes:
                    self.nodes[node] = _normed(ndf * before, ndf * scale, scale // before)
        widest = scales[0] * ndf
        self.tail = _normed(widest, widest, 2)
        self.score = nn.Conv2d(widest, 1, 3, padding=1)

    def forward(self, images: Tensor, path: Path) -> Tensor:
        """Map images (N, inputs, H, W) to scores (N, 1, H / S, W / S), S twice the coarsest scale, 8 in translation.

        H and W are multiples of S.
        """
        size = images.shape[2] // self.shrinks, images.shape[3] // self.shrinks
        for name in walk(path):
            images = self.get_submodule(name)(images)
        return functional.adaptive_avg_pool2d(images, size)


def walk(path: Path) -> list[str]:
    """Return the module names along one path, from its last scale to the coarsest and on to the scores."""
    steps = enumerate(pairwise(reversed(path)), start=1)
    nodes = [f"nodes.l{layer}s{before}to{scale}" for layer, (before, scale) in steps]
    return [f"entries.{path[-1]}", *nodes, "tail", "score"]


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    """Build a convolution that divides the size by exactly its stride, with overlapping windows."""
    return nn.Conv2d(inputs, outputs, stride + 2, stride, 1)


def _normed(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, stride), InstanceNorm2d(outputs), nn.LeakyReLU(0.2))
