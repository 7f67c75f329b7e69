"""CF-GAN's super-discriminator: one path for each path of the super-generator (section 3.1, Figure 1a)."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from slimgen.nets.cf_gan.space import Path, paths
from slimgen.nets.norm import InstanceNorm2d


class SuperDiscriminator(nn.Module):
    """Patch discriminators that share weights; the path of a generator picks the one that judges it.

    A discriminator walks its generator's scales backwards: it enters at the last one, ends at 1/4, and is as wide at
    each scale as the generator is, up to the ratio of their base widths. So both have like capacity at like
    resolution. All operators are convolutions of different strides; every path's scores are pooled to 1/8 of the image.

    Args:
        groups: searchable groups of the generator.
        ndf: channels at full resolution; twice as many at 1/2, four times at 1/4.
        inputs: channels of what is judged; condition and image together for paired tasks.
    """

    def __init__(self, groups: int, ndf: int = 32, inputs: int = 6) -> None:
        super().__init__()
        self.entries, self.nodes = nn.ModuleDict(), nn.ModuleDict()
        for path in paths(groups):
            scales = tuple(reversed(path))
            if str(scales[0]) not in self.entries:
                entry = _convolution(inputs, ndf * scales[0], scales[0])
                self.entries[str(scales[0])] = nn.Sequential(entry, nn.LeakyReLU(0.2))
            for layer, (before, scale) in enumerate(pairwise(scales), start=1):
                if _node(layer, before, scale) not in self.nodes:
                    step = _normed(ndf * before, ndf * scale, scale // before)
                    self.nodes[_node(layer, before, scale)] = step
        self.tail = _normed(4 * ndf, 4 * ndf, 2)
        self.score = nn.Conv2d(4 * ndf, 1, 3, padding=1)

    def forward(self, images: Tensor, path: Path) -> Tensor:
        """Images (N, inputs, H, W) to scores (N, 1, H / 8, W / 8), H and W multiples of 8."""
        scales = tuple(reversed(path))
        features = self.entries[str(scales[0])](images)
        for layer, (before, scale) in enumerate(pairwise(scales), start=1):
            features = self.nodes[_node(layer, before, scale)](features)
        scores: Tensor = self.score(self.tail(features))
        return functional.adaptive_avg_pool2d(scores, (images.shape[2] // 8, images.shape[3] // 8))

    def branch(self, path: Path) -> list[nn.Parameter]:
        """The parameters that one path uses."""
        scales = tuple(reversed(path))
        parts = [self.entries[str(scales[0])], self.tail, self.score]
        parts += [self.nodes[_node(layer, *step)] for layer, step in enumerate(pairwise(scales), start=1)]
        return [parameter for part in parts for parameter in part.parameters()]


def _node(layer: int, before: int, scale: int) -> str:
    return f"l{layer}s{before}to{scale}"


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    """A convolution that divides the size by its stride exactly, with windows that overlap."""
    return nn.Conv2d(inputs, outputs, stride + 2, stride, 1)


def _normed(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, stride), InstanceNorm2d(outputs), nn.LeakyReLU(0.2))
