"""The search space of AlphaGAN's conventional generator, and its two published architectures."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from slimgen.nets.noise import DOUBLINGS
from slimgen.nets.normal import NORMAL
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

UP = ("nearest", "bilinear", "deconv")
"""Up-sampling operations, in the order of their size."""


class Edge(NamedTuple):
    """An edge of the generator, on which one operation stands.

    Attributes:
        name: of its choice.
        factor: how many times larger an up operation makes its features; 1 for a normal operation.
        part: what leaves lies at 1/part of the image's sides.
    """

    name: str
    factor: int
    part: int


def edges() -> Iterator[Edge]:
    """Every edge, cell after cell.

    Node 1 of a cell is its enlarged input, node 2 is behind `op1`, node 3 is the input enlarged by the shortcut, and
    node 4, the output, sums `op2` of node 2, `op3` of node 3, and every earlier cell's node 1, enlarged by a skip.
    """
    for cell in range(1, DOUBLINGS + 1):
        part = 2 ** (DOUBLINGS - cell)
        factors = {"op1": 1, "op2": 1, "op3": 1, "up": 2, "shortcut": 2}
        # Node 1 of a cell is as large as its output already.
        factors |= {f"skip{earlier}": 2 ** (cell - earlier) for earlier in range(1, cell)}
        yield from (Edge(f"cell{cell}.{name}", factor, part) for name, factor in factors.items())


def alphagan_space(deconvolution: bool = True) -> Space:
    """(6^3 x 3^2)^3 x 3^3 generators, about 2 x 10^11.

    Args:
        deconvolution: without it, the variant of Table 6, in which no search fails.
    """
    ups = UP if deconvolution else tuple(option for option in UP if option != "deconv")
    return Space({edge.name: Choice(ups if edge.factor > 1 else NORMAL) for edge in edges()})


SPACE = alphagan_space()
"""The whole of it: whatever the variant, its genotypes are of this space."""


def checked(genotype: Mapping[str, Value]) -> Genotype:
    """A genotype of the space from whatever mapping a recipe or a file gives.

    Raises:
        SpaceError: an edge is missing or unknown, or has another operation than the space's.
    """
    copy = Genotype(genotype)
    SPACE.check(copy)
    return copy


def _published(*operations: str) -> Genotype:
    """A genotype from operations in the order of `edges`."""
    return checked({edge.name: operation for edge, operation in zip(edges(), operations, strict=True)})


PUBLISHED = {
    "alphagan_s": _published(
        *("conv_1x1", "sep_conv_3x3", "conv_1x1", "bilinear", "deconv"),
        *("sep_conv_5x5", "sep_conv_3x3", "sep_conv_3x3", "deconv", "deconv", "nearest"),
        *("sep_conv_5x5", "sep_conv_3x3", "sep_conv_3x3", "deconv", "nearest", "deconv", "bilinear"),
    ),
    "alphagan_l": _published(
        *("conv_5x5", "conv_5x5", "sep_conv_5x5", "deconv", "bilinear"),
        *("conv_5x5", "conv_1x1", "conv_3x3", "deconv", "bilinear", "nearest"),
        *("conv_1x1", "conv_5x5", "sep_conv_3x3", "nearest", "bilinear", "bilinear", "nearest"),
    ),
}
"""The architectures that Tian et al. found on CIFAR-10 (supplement, Figures 1 and 2)."""
