"""What every weight-sharing network offers, whatever its family."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.gates import Arch
from slimgen.search.genotype import Genotype
from slimgen.search.space import Space


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
