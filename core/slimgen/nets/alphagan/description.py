"""AlphaGAN's generator as options, rows and cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Norm, Row, cost_of
from slimgen.errors import RecipeError, nearest
from slimgen.nets.alphagan.space import PUBLISHED, Edge, checked, edges
from slimgen.nets.noise import NoiseOptions
from slimgen.nets.normal import normal_rows
from slimgen.search.genotype import Genotype, Value

INTERPOLATIONS = ("plain", "learned")
"""Nearest and bilinear interpolation alone, or with a 1x1 convolution (section 5.4.2)."""


def rows_of(edge: Edge, operation: str, channels: int, interpolation: str, norm: Norm = "batch") -> tuple[Row, ...]:
    """The layers of one operation on an edge; a transposed convolution once for each doubling that it is applied to."""
    if edge.factor == 1:
        return normal_rows(operation, channels, channels, edge.part, norm)
    # A 1x1 convolution and an interpolation may change places, so it runs where there are fewer pixels.
    before = Row("conv", "convolution", channels, channels, 1, edge.part * edge.factor, bias=False)
    if operation != "deconv":
        return (before,) if interpolation == "learned" else ()
    rows, part = [], before.part
    while part > edge.part:
        part //= 2
        rows.append(Row("conv", "transposed", channels, channels, 2, part, 2))
    return tuple(rows)


@cache
def _cost(edge: Edge, operation: str, channels: int, interpolation: str, side: int) -> Cost:
    rows = rows_of(edge, operation, channels, interpolation)
    cost = cost_of(rows, side, side)
    # One transposed convolution, applied again, has its parameters once.
    return cost if edge.factor == 1 else cost._replace(params=cost_of(rows[:1], side, side).params)


@dataclass(frozen=True)
class AlphaShape(NoiseOptions):
    """The options of every generator of the space.

    Attributes:
        interpolation: `plain`, or `learned` where nearest and bilinear come with a 1x1 convolution.
    """

    interpolation: str = "plain"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interpolation not in INTERPOLATIONS:
            hint = nearest(self.interpolation, INTERPOLATIONS)
            raise RecipeError("interpolation is plain or learned", repr(self.interpolation), hint)

    def cost_at(self, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
        """What a generator of the space costs for one image.

        Raises:
            RecipeError: the size does not suit the network.
        """
        side = self.side(height, width)
        costs = (_cost(edge, str(genotype[edge.name]), self.channels, self.interpolation, side) for edge in edges())
        return cost_of(self.ends(side), side, side).plus(*costs)


@dataclass(frozen=True, kw_only=True)
class AlphaOptions(AlphaShape):
    """The options of one generator.

    Attributes:
        genotype: an operation for every edge of `alphagan.space.SPACE`.
    """

    genotype: Mapping[str, Value]

    def cost(self, height: int, width: int) -> Cost:
        """What it costs for one image.

        Raises:
            SlimgenError: the genotype is of another space, or the size does not suit the network.
        """
        return self.cost_at(checked(self.genotype), height, width)


@dataclass(frozen=True, kw_only=True)
class SmallOptions(AlphaOptions):
    """The options of alphaGAN_(s)."""

    genotype: Genotype = field(default=PUBLISHED["alphagan_s"], init=False)


@dataclass(frozen=True, kw_only=True)
class LargeOptions(AlphaOptions):
    """The options of alphaGAN_(l)."""

    genotype: Genotype = field(default=PUBLISHED["alphagan_l"], init=False)


def alphagan_cost(height: int, width: int, *, genotype: Mapping[str, Value], **options: Any) -> Cost:
    """What a generator costs for one image, in closed form; options as of `AlphaOptions`."""
    return AlphaOptions(genotype=genotype, **options).cost(height, width)
