"""CycleGANAS (An and Joo 2023): generators and discriminators of cells, and the supernets that hold them all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, cast

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.cyclegan_nas import space
from slimgen.nets.cyclegan_nas.operations import Choices, Operation, build, folded
from slimgen.nets.cyclegan_nas.space import DiscriminatorOptions, GeneratorOptions, GeneratorShape, Shape, Slot, chosen
from slimgen.nets.functional import ReLU
from slimgen.nets.initial import initialise
from slimgen.nets.layers import Described
from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.pieces import Piece, Twice
from slimgen.nets.supernet import Arch, Supernet
from slimgen.search.genotype import Genotype

Run = Callable[[int, Tensor], Tensor]
"""The number of a slot and the features that enter, to the output of its operation."""


def through(shape: Shape, images: Tensor, run: Run, norms: Sequence[nn.Module], activation: nn.Module) -> list[Tensor]:
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
        features = norms[number](run(number, features))
        if slot.end:
            features = features.tanh() if slot.end == "tanh" else activation(features)
        if slot.skip == "end":
            features = entered + features
        outputs.append(features)
    return outputs


def norm_of(slot: Slot) -> nn.Module:
    """What follows the operation of a slot."""
    return InstanceNorm2d(slot.outputs) if slot.normed else nn.Identity()


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
        self.norms, self.activation = nn.ModuleList(map(norm_of, shape.slots)), activation_of(shape)

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
        norms = cast(Sequence[nn.Module], self.norms)
        return through(self.shape, images, lambda slot, entered: self.operations[slot](entered), norms, self.activation)


class CellsGenerator(_Cells):
    """A generator of CycleGANAS: stem, an encoding cell, residual cells at 1/4 of the size, a decoding cell, output."""

    Options = GeneratorOptions

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), H and W multiples of 4, to images (N, outputs, H, W) in [-1, 1]."""
        return self._outputs(images)[-1]

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Each operation with its norm and activation, and the sum where a residual cell ends; free of spectral norms.

        Equal residual cells are equal pieces.
        """
        shape, part, found = cls.Options(**options), 1, []
        for slot, option in zip(shape.slots, chosen(shape, shape.genotype), strict=True):
            size = (1, slot.inputs, height // part, width // part)
            behind = [slot.end, *(["sum"] if slot.skip == "end" else [])]
            key = f"cells {slot.kind} {option} {slot.outputs} {' '.join(behind)} of {'x'.join(map(str, size))}"
            found.append(Piece(key, partial(_piece, slot, option), size))
            part = slot.part
        return found


def _piece(slot: Slot, option: str) -> nn.Module:
    """An operation of a generator and what follows, with some weights, in evaluation mode."""
    end = nn.Tanh() if slot.end == "tanh" else ReLU()
    layers = [build(slot, option, spectral=False), norm_of(slot), end, *([Twice()] if slot.skip == "end" else [])]
    return initialise(nn.Sequential(*layers), 0).eval()


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
        self.norms, self.activation = nn.ModuleList(map(norm_of, shape.slots)), activation_of(shape)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W) through one architecture, or the mixture that gates make."""
        choices, norms = cast(Sequence[Choices], self.choices), cast(Sequence[nn.Module], self.norms)
        run: Run = lambda slot, features: choices[slot].run(features, arch)  # noqa: E731
        return through(self.shape, images, run, norms, self.activation)[-1]

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
