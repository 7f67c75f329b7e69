"""Networks split into pieces whose latencies add up, for a table of latencies."""

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
    """A part of a network whose latency can be measured alone: a module that maps one tensor to one tensor.

    Attributes:
        key: equal for equal pieces of any network.
        build: builds the module.
        shape: shape of its input for one image.
    """

    key: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


class InPieces(Protocol):
    """Networks of a space that can be split into pieces: a supernet, or `Generators`."""

    @property
    def space(self) -> Space:
        """The space of the genotypes."""

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """Return the network in pieces; the first takes the network's input."""

    def extract(self, genotype: Genotype) -> nn.Module:
        """Return the network itself."""

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """Return its cost on one image, in closed form."""


@dataclass(frozen=True)
class Generators:
    """The generators of a family as `InPieces` of a space, built and described by their options.

    Attributes:
        space: of the genotypes.
        family: a name in `slimgen.nets.GENERATORS`.
        options: genotype to the options of its generator.
        alike: genotype to a representative that takes about as long; the pieces are the representative's, so that few
            have to be measured.
    """

    space: Space
    family: str
    options: Callable[[Genotype], Mapping[str, Any]]
    alike: Callable[[Genotype], Genotype] = lambda genotype: genotype

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """See `InPieces`; raises as `generator_pieces`."""
        return generator_pieces(self.family, height, width, **self.options(self.alike(genotype)))

    def extract(self, genotype: Genotype) -> nn.Module:
        """See `InPieces`; the weights are drawn."""
        return build_generator(self.family, **self.options(genotype)).eval()

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """See `InPieces`."""
        return generator_cost(self.family, height, width, **self.options(genotype))


class Twice(nn.Module):
    """A feature map added to itself: it takes as long as the sum of two branches, with one input."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return images + images
