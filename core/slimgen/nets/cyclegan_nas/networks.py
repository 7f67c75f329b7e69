"""CycleGANAS (An and Joo 2023): generators and discriminators of cells, and the supernets that hold them all."""

from collections.abc import Callable, Mapping, Sequence
from typing import Self, cast

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.cyclegan_nas import cost as cyclegan_nas_cost
from slimgen.nets.cyclegan_nas.cost import cells_cost, check_size
from slimgen.nets.cyclegan_nas.operations import Choices, Operation, build, folded
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, Shape, chosen, space_of
from slimgen.nets.gates import Arch
from slimgen.nets.inplace import ReLU
from slimgen.nets.norm import instance_norm
from slimgen.nets.supernet import Supernet
from slimgen.search.genotype import Genotype, Value

Run = Callable[[int, Tensor], Tensor]
"""The number of a place, and its features, to what its operation makes of them."""
_SLOPE = 0.2


def through(shape: Shape, images: Tensor, run: Run, activation: nn.Module) -> list[Tensor]:
    """What every place makes of images, the output last: each operation with norm and activation behind it.

    A residual cell adds its input behind the second activation, as the paper says (section 3.2: both operations of a
    cell are followed by a norm and an activation); the published code adds it before, where there is no activation.
    """
    if isinstance(images.shape[-1], int):  # while a graph is exported, sizes are symbols
        check_size(shape, images.shape[-2], images.shape[-1])
    found, features, entered = [], images, images
    for number, place in enumerate(shape.row):
        if place.skip == "begin":
            entered = features
        features = run(number, features)
        if place.normed:
            features = instance_norm(features)
        if not place.last:
            features = activation(features)
        if place.skip == "end":
            features = entered + features
        found.append(features)
    return found


class _Cells(nn.Module):
    """A network of one genotype: an operation at every place."""

    shape: Shape
    activation: nn.Module

    def _build(self, shape: Shape, genotype: Mapping[str, Value], spectral: bool) -> None:
        names = chosen(shape, genotype)
        made = [build(place, name, spectral) for place, name in zip(shape.row, names, strict=True)]
        self._adopt(shape, names, made)

    def _adopt(self, shape: Shape, names: Sequence[str], operations: Sequence[Operation]) -> None:
        self.shape, self.names, self.operations = shape, tuple(names), nn.ModuleList(operations)
        self.activation = ReLU() if isinstance(shape, GeneratorShape) else nn.LeakyReLU(_SLOPE)

    @classmethod
    def of(cls, shape: Shape, names: Sequence[str], operations: Sequence[Operation]) -> Self:
        """A network of operations that exist already, whose spectral norms are divided into copies of their weights."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        copies = [folded(*part) for part in zip(shape.row, names, operations, strict=True)]
        net._adopt(shape, names, copies)
        return net.eval()

    def _run(self, number: int, features: Tensor) -> Tensor:
        out: Tensor = self.operations[number](features)
        return out

    def folded(self) -> Self:
        """A copy in evaluation mode whose spectral norms are divided into the weights: it computes the same."""
        return self.of(self.shape, self.names, cast(Sequence[Operation], self.operations))


class CellsGenerator(_Cells):
    """A generator of CycleGANAS: stem, an encoding cell, residual cells at 1/4 of the size, a decoding cell, output.

    Args:
        genotype: the operations, by the names of the space (`slimgen.nets.cyclegan_nas.space.space_of`).
        hidden: channels after the encoding cell.
        cells: in all.
        inputs: channels of the input.
        outputs: channels of the output.
        ends: whether stem and output are of the genotype, too.
        spectral: spectral normalisation of every kernel.

    Raises:
        SlimgenError: an option is out of range.
        SpaceError: an operation is missing or unknown.
    """

    cost = staticmethod(cyclegan_nas_cost.generator_cost)

    def __init__(
        self,
        genotype: Mapping[str, Value],
        hidden: int = 64,
        cells: int = 11,
        inputs: int = 3,
        outputs: int = 3,
        ends: bool = False,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self._build(GeneratorShape(hidden, cells, inputs, outputs, ends), genotype, spectral)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 4, to images (N, outputs, H, W) in [-1, 1]."""
        return through(self.shape, images, self._run, self.activation)[-1].tanh()


class CellsDiscriminator(_Cells):
    """A discriminator of CycleGANAS: two encoding cells, and a score for each patch.

    Args:
        genotype: the operations, by the names of the space.
        hidden: channels after the first operation; each next one is twice as wide.
        inputs: channels of what is judged.
        ends: whether the output is of the genotype, too.
        spectral: spectral normalisation of every kernel.

    Raises:
        SlimgenError: an option is out of range.
        SpaceError: an operation is missing or unknown.
    """

    cost = staticmethod(cyclegan_nas_cost.discriminator_cost)

    def __init__(
        self,
        genotype: Mapping[str, Value],
        hidden: int = 64,
        inputs: int = 3,
        ends: bool = False,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self._build(DiscriminatorShape(hidden, inputs, ends), genotype, spectral)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 16, to scores (N, 1, H / 16, W / 16)."""
        return self.scores(self.features(images))

    def scores(self, features: list[Tensor]) -> Tensor:
        """The scores that `forward` gives, of the activations that `features` gives."""
        return features[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """Every activation, from the first operation's to the scores, which come last: for feature matching."""
        return through(self.shape, images, self._run, self.activation)


class _Supercells(Supernet):
    """A network with every operation at every place; its mixtures are those of section 3.2."""

    plain: type[_Cells]

    def __init__(self, shape: Shape, spectral: bool = True) -> None:
        super().__init__()
        self.shape, self.space = shape, space_of(shape)
        self.choices = nn.ModuleList(Choices(place, spectral) for place in shape.row)
        self.activation = ReLU() if isinstance(shape, GeneratorShape) else nn.LeakyReLU(_SLOPE)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W) through one architecture, or the mixture that gates make."""

        def run(number: int, features: Tensor) -> Tensor:
            return cast(Choices, self.choices[number]).run(features, arch)

        return self._end(through(self.shape, images, run, self.activation)[-1])

    def _end(self, out: Tensor) -> Tensor:
        return out

    def extract(self, genotype: Genotype) -> _Cells:
        """The network of one genotype, with copies of the weights; spectral norms are divided into them.

        What is built by its family to be trained anew has spectral norms of its own.

        Raises:
            SpaceError: a genotype of another space.
        """
        self.space.check(genotype)
        names = chosen(self.shape, genotype)
        pairs = zip(cast(Sequence[Choices], self.choices), names, strict=True)
        return self.plain.of(self.shape, names, [cast(Operation, choices[name]) for choices, name in pairs])

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the extracted network costs on one image of this size."""
        return cells_cost(self.shape, genotype, height, width)


class Supergenerator(_Supercells):
    """Every generator of the space at once.

    Args:
        shape: its size; searched at a hidden width of 64.
        spectral: see `Choices`.
    """

    plain = CellsGenerator

    def _end(self, out: Tensor) -> Tensor:
        return out.tanh()


class Superdiscriminator(_Supercells):
    """Every discriminator of the space at once; likewise."""

    plain = CellsDiscriminator
