"""AlphaGAN's conventional generator: noise to images through three cells (Tian et al., Figure 2)."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.nets.alphagan.cost import alphagan_cost
from slimgen.nets.alphagan.operations import edge
from slimgen.nets.alphagan.space import (
    CELLS,
    PUBLISHED,
    bottom,
    check_interpolation,
    checked,
    edges,
    normal_edges,
    skip_edges,
    up_edges,
)
from slimgen.nets.initial import GLOROT
from slimgen.search.genotype import Value


class Ends(nn.Module):
    """What surrounds the cells: noise to the first features, and the last features to an image.

    Args:
        channels: of all features.
        latent: length of the noise.
        size: side of the images in pixels, a multiple of 8.

    Raises:
        RecipeError: an option is out of range.
    """

    def __init__(self, channels: int, latent: int, size: int) -> None:
        super().__init__()
        if min(channels, latent) < 1:
            raise RecipeError("a generator of noise has channels and latent of at least 1", f"{channels=}, {latent=}")
        self.channels, self.latent, self.side = channels, latent, bottom(size)
        self.linear = nn.Linear(latent, channels * self.side**2)
        self.image = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh())

    def enter(self, noise: Tensor) -> Tensor:
        """(N, latent) to (N, channels, side, side)."""
        return self.linear(noise).view(-1, self.channels, self.side, self.side)  # type: ignore[no-any-return]

    def leave(self, features: Tensor) -> Tensor:
        """(N, channels, size, size) to images (N, 3, size, size) in [-1, 1]."""
        images: Tensor = self.image(features)
        return images


def through_cells(features: Tensor, run: Callable[[str, Tensor], Tensor]) -> Tensor:
    """The cells, whichever operations their edges run.

    Args:
        features: (N, channels, H, W).
        run: an edge's name and its input to its output.

    Returns:
        (N, channels, 8 H, 8 W).
    """
    nodes: list[Tensor] = []
    for cell in range(1, CELLS + 1):
        (up, shortcut), (op1, op2, op3) = up_edges(cell), normal_edges(cell)
        node = run(up, features)
        out = run(op2, run(op1, node)) + run(op3, run(shortcut, features))
        for name, earlier in skip_edges(cell):
            out = out + run(name, nodes[earlier - 1])
        nodes.append(node)
        features = out
    return features


class AlphaGenerator(nn.Module):
    """One generator of AlphaGAN's space, of plain modules.

    Args:
        genotype: an operation for every edge of `alphagan_space.SPACE`.
        channels: of all features.
        latent: length of the noise.
        size: side of the images in pixels, a multiple of 8.
        interpolation: `plain`, or `learned` where nearest and bilinear come with a 1x1 convolution.

    Raises:
        SlimgenError: an option is out of range.
    """

    cost: Callable[..., Cost] = staticmethod(alphagan_cost)
    initial = GLOROT

    def __init__(
        self,
        genotype: Mapping[str, Value],
        channels: int = 256,
        latent: int = 128,
        size: int = 32,
        interpolation: str = "plain",
    ) -> None:
        super().__init__()
        check_interpolation(interpolation)
        self.genotype, self.ends = checked(genotype), Ends(channels, latent, size)
        self.edges = nn.ModuleDict(
            {
                key_of(name): edge(up, str(self.genotype[name]), channels, factor, interpolation, affine=True)
                for name, up, factor in edges()
            }
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, latent) of a standard normal distribution to images (N, 3, size, size) in [-1, 1]."""

        def run(name: str, features: Tensor) -> Tensor:
            out: Tensor = self.edges[key_of(name)](features)
            return out

        return self.ends.leave(through_cells(self.ends.enter(noise), run))


def key_of(name: str) -> str:
    """The name of an edge's module: PyTorch allows no dots."""
    return name.replace(".", "_")


class AlphaGanSmall(AlphaGenerator):
    """alphaGAN_(s), as published; arguments as of `AlphaGenerator`."""

    def __init__(self, channels: int = 256, latent: int = 128, size: int = 32, interpolation: str = "plain") -> None:
        super().__init__(PUBLISHED["alphagan_s"], channels, latent, size, interpolation)

    @staticmethod
    def cost(height: int, width: int, **options: Any) -> Cost:
        """What it costs for one image, in closed form; options as of the constructor."""
        return alphagan_cost(height, width, genotype=PUBLISHED["alphagan_s"], **options)


class AlphaGanLarge(AlphaGenerator):
    """alphaGAN_(l), as published; arguments as of `AlphaGenerator`."""

    def __init__(self, channels: int = 256, latent: int = 128, size: int = 32, interpolation: str = "plain") -> None:
        super().__init__(PUBLISHED["alphagan_l"], channels, latent, size, interpolation)

    @staticmethod
    def cost(height: int, width: int, **options: Any) -> Cost:
        """What it costs for one image, in closed form; options as of the constructor."""
        return alphagan_cost(height, width, genotype=PUBLISHED["alphagan_l"], **options)
