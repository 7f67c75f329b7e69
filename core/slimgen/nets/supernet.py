"""What every weight-sharing network offers, whatever its family."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.nets.gates import Arch
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space


@dataclass(frozen=True)
class Piece:
    """A part of a sub-network whose latency can be measured alone.

    Attributes:
        key: equal for equal pieces, of whichever sub-network.
        build: the part as a module from one tensor to one tensor.
        shape: of the tensor that it takes, one image.
    """

    key: str
    build: Callable[[], nn.Module]
    shape: tuple[int, int, int, int]


class Supernet(nn.Module, ABC):
    """A network that holds the weights of every architecture of its space.

    The architecture is an argument of `forward`, never hidden state, so a supernet can be shared, checkpointed and
    evaluated at several architectures at once.
    """

    space: Space

    @abstractmethod
    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, C, H, W) through the sub-network of one architecture."""

    @abstractmethod
    def extract(self, genotype: Genotype) -> nn.Module:
        """The sub-network alone: plain PyTorch, physically small, with copies of the weights."""

    @abstractmethod
    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the extracted sub-network costs on one image, in closed form."""

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """The sub-network in parts that run one after the other, for a table of latencies.

        Raises:
            RecipeError: sub-networks of this family are not chains of parts.
        """
        name = type(self).__name__
        raise RecipeError(
            "a limit on latency_ms needs a supernet that is a chain of pieces", name, "limit macs instead"
        )
