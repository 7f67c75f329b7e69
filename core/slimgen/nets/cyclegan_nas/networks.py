"""CycleGANAS (An and Joo 2023): generators and discriminators of cells, and the supernets that hold them all."""

from collections.abc import Callable, Sequence
from typing import Any, Self, cast

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.cyclegan_nas import space
from slimgen.nets.cyclegan_nas.operations import Choices, Operation, build, folded
from slimgen.nets.cyclegan_nas.space import DiscriminatorOptions, GeneratorOptions, GeneratorShape, Shape, chosen
from slimgen.nets.functional import ReLU
from slimgen.nets.layers import Described
from slimgen.nets.norm import instance_norm
from slimgen.nets.supernet import Arch, Supernet
from slimgen.search.genotype import Genotype

Run = Callable[[int, Tensor], Tensor]
"""The number of a slot and the features that enter, to the output of its operation."""


def through(shape: Shape, images: Tensor, run: Run, activation: nn.Module) -> list[Tensor]:
    """The output of every slot, the network's last: each operation with norm and activation behind it.

    A residual cell adds its input behind the second activation, as the paper says (section 3.2: both operations of a
    cell are followed by a norm and an activation); the published code adds it before, where there is no activation.
    """
    if isinstance(images.shape[-1], int):  # while a graph is exported, sizes are symbols
        space.check_size(shape, images.shape[-2], images.shape[-1])
    outputs, features, entered = [], images, images
    for number, slot in enumerate(shape.slots):
        if slot.skip == "begin":
            entered = features
        features = run(number, features)
        if slot.normed:
            features = instance_norm(features)
        if slot.end:
            features = features.tanh() if slot.end == "tanh" else activation(features)
        if slot.skip == "end":
            features = entered + features
        outputs.append(features)
    return outputs


def activation_of(shape: Shape) -> nn.Module:
    """ReLU in generators, leaky ReLU in discriminators."""
    return ReLU() if isinstance(shape, GeneratorShape) else nn.LeakyReLU(0.2)


class _Cells(Described):
    """A network of one genotype: an operation in every slot. Options and errors as of its `Options`."""

    options: GeneratorOptions | DiscriminatorOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        shape, spectral = self.options, self.options.spectral
        names = chosen(shape, shape.genotype)
        self._adopt(shape, names, [build(slot, name, spectral) for slot, name in zip(shape.slots, names, strict=True)])

    def _adopt(self, shape: Shape, names: Sequence[str], operations: Sequence[Operation]) -> None:
        self.shape, self.names, self.operations = shape, tuple(names), nn.ModuleList(operations)
        self.activation = activation_of(shape)

    @classmethod
    def of(cls, shape: Shape, names: Sequence[str], operations: Sequence[Operation]) -> Self:
        """A network of operations that exist already, whose spectral norms are divided into copies of their weights."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._adopt(shape, names, [folded(*part) for part in zip(shape.slots, names, operations, strict=True)])
        return net.eval()

    def folded(self) -> Self:
        """A copy in evaluation mode whose spectral norms are divided into the weights: it computes the same."""
        return self.of(self.shape, self.names, cast(Sequence[Operation], self.operations))

    def _outputs(self, images: Tensor) -> list[Tensor]:
        return through(self.shape, images, lambda number, features: self.operations[number](features), self.activation)


class CellsGenerator(_Cells):
    """A generator of CycleGANAS: stem, an encoding cell, residual cells at 1/4 of the size, a decoding cell, output."""

    Options = GeneratorOptions

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 4, to images (N, outputs, H, W) in [-1, 1]."""
        return self._outputs(images)[-1]


class CellsDiscriminator(_Cells):
    """A discriminator of CycleGANAS: two encoding cells, and a score for each patch."""

    Options = DiscriminatorOptions

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 16, to scores (N, 1, H / 16, W / 16)."""
        return self.scores(self.features(images))

    def scores(self, features: list[Tensor]) -> Tensor:
        """The scores that `forward` gives, of the activations that `features` gives."""
        return features[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """Every activation, from the first operation's to the scores, which come last: for feature matching."""
        return self._outputs(images)


class Supercells(Supernet):
    """Every generator, or every discriminator, of a space at once; its mixtures are those of section 3.2."""

    def __init__(self, shape: Shape, spectral: bool = True) -> None:
        super().__init__()
        self.shape, self.space = shape, space.space_of(shape)
        self.choices = nn.ModuleList(Choices(slot, spectral) for slot in shape.slots)
        self.activation = activation_of(shape)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W) through one architecture, or the mixture that gates make."""
        choices = cast(Sequence[Choices], self.choices)
        outputs = through(self.shape, images, lambda slot, features: choices[slot].run(features, arch), self.activation)
        return outputs[-1]

    def extract(self, genotype: Genotype) -> _Cells:
        """As of `Supernet`; spectral norms are divided into the weights."""
        self.space.check(genotype)
        plain = CellsGenerator if isinstance(self.shape, GeneratorShape) else CellsDiscriminator
        names = chosen(self.shape, genotype)
        pairs = zip(cast(Sequence[Choices], self.choices), names, strict=True)
        return plain.of(self.shape, names, [cast(Operation, choices[name]) for choices, name in pairs])

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """As of `Supernet`."""
        return space.cells_cost(self.shape, genotype, height, width)
