"""CycleGANAS (An and Joo 2023): generators and discriminators made of cells, and their supernets."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, cast

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.cyclegan_nas import space
from slimgen.nets.cyclegan_nas.operations import Choices, Operation, build, folded
from slimgen.nets.cyclegan_nas.space import (
    CONVOLUTIONS,
    DiscriminatorOptions,
    GeneratorOptions,
    GeneratorShape,
    Shape,
    Slot,
    chosen,
)
from slimgen.nets.functional import ReLU
from slimgen.nets.initial import initialise
from slimgen.nets.layers import Described
from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.pieces import Piece, Twice
from slimgen.nets.supernet import Arch, Supernet
from slimgen.search.genotype import Genotype

Run = Callable[[int, Tensor], Tensor]
"""A slot's number and its input features to its operation's output."""


def through(shape: Shape, images: Tensor, run: Run, norms: Sequence[nn.Module], activation: nn.Module) -> list[Tensor]:
    """Return the output of every slot, the network's last: its operation followed by norm and activation.

    A residual cell adds its input after the second activation, as in the paper (section 3.2: a norm and an activation
    follow both operations of a cell); the published code and CycleGAN have no activation there.
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
    """Build the norm after a slot's operation, or an identity."""
    return InstanceNorm2d(slot.outputs) if slot.normed else nn.Identity()


def activation_of(shape: Shape) -> nn.Module:
    """Build the activation: ReLU in generators, leaky ReLU in discriminators."""
    return ReLU() if isinstance(shape, GeneratorShape) else nn.LeakyReLU(0.2)


class _Cells(Described):
    """A network of one genotype: one operation in every slot. For options and errors see its `Options`."""

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
        """Return a network of existing operations: weights are copied, and spectral norms are divided into them."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._adopt(shape, names, [folded(*part) for part in zip(shape.slots, names, operations, strict=True)])
        return net.eval()

    def folded(self) -> Self:
        """Return an equivalent copy in evaluation mode, its spectral norms divided into the weights."""
        return self.of(self.shape, self.names, cast(Sequence[Operation], self.operations))

    def _outputs(self, images: Tensor) -> list[Tensor]:
        norms = cast(Sequence[nn.Module], self.norms)
        return through(self.shape, images, lambda slot, entered: self.operations[slot](entered), norms, self.activation)


class CellsGenerator(_Cells):
    """A generator of CycleGANAS: stem, an encoding cell, residual cells at 1/4 of the size, a decoding cell, output."""

    Options = GeneratorOptions

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W), H and W multiples of 4, to images (N, outputs, H, W) in [-1, 1]."""
        return self._outputs(images)[-1]

    @classmethod
    def pieces(cls, height: int, width: int, **options: Any) -> list[Piece]:
        """Return each operation with its norm and activation, and the sum at the end of a residual cell, as a piece.

        Pieces have no spectral norms; equal residual cells give equal pieces.
        """
        shape, part, found = cls.Options(**options), 1, []
        for slot, option in zip(shape.slots, chosen(shape, shape.genotype), strict=True):
            size = (1, slot.inputs, height // part, width // part)
            behind = [*filter(None, [slot.end]), *(["sum"] if slot.skip == "end" else [])]
            behind += [slot.padding] if slot.padding != "one" and option in CONVOLUTIONS else []
            key = f"cells {slot.kind} {option} {slot.outputs} {' '.join(behind)} of {'x'.join(map(str, size))}"
            found.append(Piece(key, partial(_piece, slot, option), size))
            part = slot.part
        return found


def _piece(slot: Slot, option: str) -> nn.Module:
    """Build a generator's operation with its norm, activation and sum, in evaluation mode, with drawn weights."""
    end = {"tanh": nn.Tanh, "activation": ReLU, "": nn.Identity}[slot.end]()
    layers = [build(slot, option, spectral=False), norm_of(slot), end, *([Twice()] if slot.skip == "end" else [])]
    return initialise(nn.Sequential(*layers), 0).eval()


class CellsDiscriminator(_Cells):
    """A discriminator of CycleGANAS: two encoding cells, and a score for each patch."""

    Options = DiscriminatorOptions

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W), H and W multiples of 16, to scores (N, 1, H / 16, W / 16)."""
        return self.scores(self.features(images))

    def scores(self, features: list[Tensor]) -> Tensor:
        """Return the scores of `forward`, given the activations of `features`."""
        return features[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """Return all activations for feature matching: the output of each slot, the scores last."""
        return self._outputs(images)


class Supercells(Supernet):
    """All generators, or all discriminators, of a space; gates mix operations as in section 3.2."""

    def __init__(self, shape: Shape, spectral: bool = True) -> None:
        super().__init__()
        self.shape, self.space = shape, space.space_of(shape)
        self.choices = nn.ModuleList(Choices(slot, spectral) for slot in shape.slots)
        self.norms, self.activation = nn.ModuleList(map(norm_of, shape.slots)), activation_of(shape)

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Run images (N, inputs, H, W) through one architecture: a genotype, or a mixture by gates."""
        choices, norms = cast(Sequence[Choices], self.choices), cast(Sequence[nn.Module], self.norms)
        run: Run = lambda slot, features: choices[slot].run(features, arch)  # noqa: E731
        return through(self.shape, images, run, norms, self.activation)[-1]

    def extract(self, genotype: Genotype) -> _Cells:
        """See `Supernet`; spectral norms are divided into the weights."""
        self.space.check(genotype)
        plain = CellsGenerator if isinstance(self.shape, GeneratorShape) else CellsDiscriminator
        names = chosen(self.shape, genotype)
        pairs = zip(cast(Sequence[Choices], self.choices), names, strict=True)
        return plain.of(self.shape, names, [cast(Operation, choices[name]) for choices, name in pairs])

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """See `Supernet`."""
        return space.cells_cost(self.shape, genotype, height, width)
