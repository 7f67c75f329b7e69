"""Networks in pieces whose latencies add up, for a table of latencies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets import build_generator, generator_cost, generator_pieces
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space


@dataclass(frozen=True)
class Piece:
    """A part of a network whose latency can be measured alone: a module from one tensor to one tensor.

    Attributes:
        key: equal for equal pieces, of whichever network.
        shape: of the tensor that it takes, of one image.
    """

    key: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


class InPieces(Protocol):
    """Networks by genotype that are known in pieces; a supernet is, and so are `Generators`."""

    @property
    def space(self) -> Space:
        """Of the genotypes."""

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """The network in parts; the first takes what the network takes."""

    def extract(self, genotype: Genotype) -> nn.Module:
        """The network itself."""

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What it costs on one image, in closed form."""


@dataclass(frozen=True)
class Generators:
    """The generators of a family, which builds and describes them by options, as `InPieces` of a space.

    Attributes:
        space: of their genotypes.
        family: a name of `slimgen.nets.GENERATORS`.
        options: a genotype to the options of its generator.
        alike: a genotype to one that takes about as long, of which there are few; the pieces are that one's.
    """

    space: Space
    family: str
    options: Callable[[Genotype], Mapping[str, Any]]
    alike: Callable[[Genotype], Genotype] = lambda genotype: genotype

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """As of `InPieces`; raises as `generator_pieces`."""
        return generator_pieces(self.family, height, width, **self.options(self.alike(genotype)))

    def extract(self, genotype: Genotype) -> nn.Module:
        """As of `InPieces`, its weights drawn."""
        return build_generator(self.family, **self.options(genotype)).eval()

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """As of `InPieces`."""
        return generator_cost(self.family, height, width, **self.options(genotype))


class Twice(nn.Module):
    """A feature map added to itself: what a sum of two branches takes, of one input."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return images + images
