"""AlphaGAN's conventional generator as a space, options, rows and cost, with its two published architectures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Norm, Row, cost_of
from slimgen.errors import RecipeError, nearest
from slimgen.nets.noise import DOUBLINGS, NORMAL, NoiseOptions, normal_rows
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space
from slimgen.size import Size

UP = ("nearest", "bilinear", "deconv")  # by increasing size


class Edge(NamedTuple):
    """An edge of the generator, which holds one operation; it has the name of its choice.

    Attributes:
        factor: how many times an up operation enlarges its features; 1 for a normal operation.
        part: as in `Row`.
    """

    name: str
    factor: int
    part: int


def edges() -> Iterator[Edge]:
    """Yield every edge, cell after cell.

    Node 1 of a cell is its enlarged input, node 2 is `op1` of node 1, node 3 is the input enlarged by the shortcut.
    Node 4, the output, sums `op2` of node 2, `op3` of node 3, and each earlier cell's node 1, enlarged by a skip.
    """
    for cell in range(1, DOUBLINGS + 1):
        part = 2 ** (DOUBLINGS - cell)
        factors = {"op1": 1, "op2": 1, "op3": 1, "up": 2, "shortcut": 2}
        # Node 1 of a cell already has the size of its output.
        factors |= {f"skip{earlier}": 2 ** (cell - earlier) for earlier in range(1, cell)}
        yield from (Edge(f"cell{cell}.{name}", factor, part) for name, factor in factors.items())


def alphagan_space(deconvolution: bool = True) -> Space:
    """Return the space: (6^3 x 3^2)^3 x 3^3 generators, about 2 x 10^11; without deconvolution, Table 6's variant."""
    ups = UP if deconvolution else tuple(option for option in UP if option != "deconv")
    return Space({edge.name: Choice(ups if edge.factor > 1 else NORMAL) for edge in edges()})


SPACE = alphagan_space()
"""The whole space; genotypes of the variant belong to it, too."""


def checked(genotype: Mapping[str, Value]) -> Genotype:
    """Return a recipe's or a file's mapping as a genotype of the space.

    Raises:
        SpaceError: an edge is missing or unknown, or its operation is not in the space.
    """
    copy = Genotype(genotype)
    SPACE.check(copy)
    return copy


def _published(*operations: str) -> Genotype:
    """Return the genotype of these operations, in the order of `edges`."""
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
INTERPOLATIONS = ("plain", "learned")  # alone, or with a 1x1 convolution (section 5.4.2)


def rows_of(edge: Edge, operation: str, channels: int, interpolation: str, norm: Norm = "batch") -> tuple[Row, ...]:
    """Return the layers of one operation on an edge; a transposed convolution is listed once for each doubling."""
    if edge.factor == 1:
        return normal_rows(operation, channels, channels, edge.part, norm)
    # A 1x1 convolution and an interpolation commute, so the convolution runs at the smaller size.
    before = Row("conv", "convolution", channels, channels, 1, edge.part * edge.factor, bias=False)
    if operation != "deconv":
        return (before,) if interpolation == "learned" else ()
    parts = (before.part >> step for step in range(1, edge.factor.bit_length()))
    return tuple(Row("conv", "transposed", channels, channels, 2, part, 2) for part in parts)


@cache
def _cost(edge: Edge, operation: str, channels: int, interpolation: str, size: Size) -> Cost:
    rows = rows_of(edge, operation, channels, interpolation)
    cost = cost_of(rows, *size)
    # A transposed convolution that is applied several times has its parameters once.
    return cost if edge.factor == 1 else cost._replace(params=cost_of(rows[:1], *size).params)


@dataclass(frozen=True)
class AlphaShape(NoiseOptions):
    """The options of every generator of the space.

    Attributes:
        interpolation: `plain` for interpolations alone, `learned` for a 1x1 convolution with each (section 5.4.2).
    """

    interpolation: str = "plain"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interpolation not in INTERPOLATIONS:
            hint = nearest(self.interpolation, INTERPOLATIONS)
            raise RecipeError("interpolation must be plain or learned", repr(self.interpolation), hint)

    def cost_at(self, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
        """Return a genotype's cost for one image; raise RecipeError where the size does not suit the generator."""
        size = self.made(height, width)
        costs = (_cost(edge, str(genotype[edge.name]), self.channels, self.interpolation, size) for edge in edges())
        return total([cost_of(self.ends(size), *size), *costs])


@dataclass(frozen=True, kw_only=True)
class AlphaOptions(AlphaShape):
    """The options of one generator: its shape and its genotype.

    Attributes:
        genotype: the operation of every edge, such as `cell1.op1: conv_3x3`, as a search writes it.
    """

    genotype: Mapping[str, Value]

    def cost(self, height: int, width: int) -> Cost:
        """See `Described`."""
        return self.cost_at(checked(self.genotype), height, width)


@dataclass(frozen=True, kw_only=True)
class SmallOptions(AlphaOptions):
    """The options of alphaGAN_(s)."""

    genotype: Genotype = field(default=PUBLISHED["alphagan_s"], init=False)


@dataclass(frozen=True, kw_only=True)
class LargeOptions(AlphaOptions):
    """The options of alphaGAN_(l)."""

    genotype: Genotype = field(default=PUBLISHED["alphagan_l"], init=False)
