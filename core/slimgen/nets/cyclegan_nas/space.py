"""The search space of CycleGANAS (An and Joo 2023, section 3.2): cells with two operations each. No torch.

A network is a sequence of slots; each holds one operation, searched or fixed. The space, the closed-form cost and the
networks are all built from the same slots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar, Literal, NamedTuple, cast, get_args

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import SlimgenError
from slimgen.nets.options import Repeats, Width
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.space import Space

Kind = Literal["encoding", "residual", "decoding"]
Skip = Literal["", "begin", "end"]
Padding = Literal["one", "reflect", "cyclegan"]

CONVOLUTIONS = {
    "conv3x3": (3, 1),
    "dil_conv3x3": (3, 2),
    "conv4x4": (4, 1),
    "conv5x5": (5, 1),
    "dil_conv5x5": (5, 2),
    "conv7x7": (7, 1),
}
"""The operations that are a single convolution, with kernel size and dilation."""
TRANSPOSED = "transposed3x3"

OPERATIONS: dict[Kind, tuple[str, ...]] = {
    "encoding": ("max_pool", "avg_pool", *CONVOLUTIONS),
    "residual": tuple(name for name in CONVOLUTIONS if name != "conv4x4"),
    "decoding": ("nearest", "bilinear", TRANSPOSED),
}
"""The paper's sets S^e, S^r and S^d, by increasing cost."""
ENDS = ("conv7x7",)  # stem and output of a generator where they are not searched, as in CycleGAN
SCORES = ("conv3x3",)  # output of a discriminator where it is not searched


class Slot(NamedTuple):
    """The place of one operation in a network; it has the name of its choice.

    Attributes:
        kind: whether it halves (encoding), keeps (residual) or doubles (decoding) the size.
        options: the operations to choose from; a single one where nothing is searched.
        inputs: input channels.
        outputs: output channels.
        part: as in `Row`.
        skip: `begin` where a residual cell begins, `end` where its input is added.
        normed: whether a norm follows.
        end: the last step: an activation, `tanh`, or nothing after scores.
        leaky: whether the activation is a LeakyReLU, as in discriminators, instead of a ReLU.
        padding: of convolutions: `one` mirrored pixel and then zeros; mirrored pixels alone (`reflect`); or as in
            `cyclegan`, mirrored pixels where the size is kept and zeros where it is halved.
    """

    name: str
    kind: Kind
    options: tuple[str, ...]
    inputs: int
    outputs: int
    part: int = 1
    skip: Skip = ""
    normed: bool = True
    end: Literal["activation", "tanh", ""] = "activation"
    leaky: bool = False
    padding: Padding = "one"

    def row(self, option: str) -> Row:
        """Return the row of an operation's convolution; pooling and interpolation before it cost nothing."""
        transposed = option == TRANSPOSED
        kernel = 3 if transposed else CONVOLUTIONS.get(option, (1, 1))[0]
        stride = 2 if transposed or (self.kind == "encoding" and option in CONVOLUTIONS) else 1
        plain = Row(self.name, "convolution", self.inputs, self.outputs, kernel, self.part, stride)
        after = ("leaky",) if self.leaky and self.end == "activation" else ()
        kind = "transposed" if transposed else plain.kind
        return plain._replace(kind=kind, norm="instance" if self.normed else "", after=after)


@dataclass(frozen=True)
class GeneratorShape:
    """The size of a generator; raises SlimgenError where a number is out of range.

    The paper gives the channels after the encoding cell; the stem and the first operation have a quarter and a half of
    them, and the decoding cell mirrors this, as in CycleGAN.

    Attributes:
        hidden: channels after the encoding cell (the paper's H); 64 in the search.
        cells: number of cells (the paper's N): one encoding, N - 2 residual, one decoding.
        inputs: channels of the input images.
        outputs: channels of the output images.
        ends: whether the stem and the output are also searched, among the operations of residual cells (the paper's
            S^r), as in the published code; otherwise they are 7x7 convolutions.
        padding: padding of the convolutions, which the paper leaves open; see `Slot`. `one` is the published code's.
        activated: whether an activation follows the second operation of a residual cell too, before the cell's input is
            added (section 3.2); CycleGAN has none there.
    """

    hidden: Width = 64
    cells: Repeats = 11
    inputs: Width = 3
    outputs: Width = 3
    ends: bool = False
    padding: Padding = "one"  # networks that were trained before there was a choice have this one
    activated: bool = True

    noun: ClassVar[str] = "generator"
    multiple: ClassVar[int] = 4

    @property
    def least(self) -> int:
        """The smallest side: a mirrored padding needs more pixels than it adds at 1/4 of the size, up to four."""
        return 8 if self.padding == "one" else 20

    def __post_init__(self) -> None:
        if self.hidden < 4 or self.cells < 2 or min(self.inputs, self.outputs) < 1:
            rule = "a generator of cells needs a hidden width of at least 4, at least 2 cells and 1 channel"
            raise SlimgenError(rule, f"hidden {self.hidden}, cells {self.cells}, {self.inputs} to {self.outputs}")
        if self.padding not in get_args(Padding):
            rule = f"padding of a generator of cells must be {' or '.join(get_args(Padding))}"
            raise SlimgenError(rule, repr(self.padding))

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The slots from the stem to the output."""
        full, half, hidden = self.hidden // 4, self.hidden // 2, self.hidden
        end = OPERATIONS["residual"] if self.ends else ENDS
        slots = [Slot("stem", "residual", end, self.inputs, full), *_cell(0, "encoding", 1, full, half, hidden)]
        for cell in range(1, self.cells - 1):
            slots += _cell(cell, "residual", 4, hidden, hidden, hidden)
        slots += _cell(self.cells - 1, "decoding", 4, hidden, half, full)
        slots.append(Slot("output", "residual", end, full, self.outputs, normed=False, end="tanh"))
        return tuple(self._framed(slot) for slot in slots)

    def _framed(self, slot: Slot) -> Slot:
        """Return a slot with this generator's padding, and perhaps without an activation before a sum."""
        summed = slot.skip == "end" and not self.activated
        return slot._replace(padding=self.padding, end="" if summed else slot.end)


@dataclass(frozen=True)
class DiscriminatorShape:
    """The size of a discriminator: two encoding cells, each operation twice as wide as the one before, and the scores.

    No norm follows the first operation, as in PatchGAN and in the published code (the paper has one after every
    operation): it would hide an image's brightness and contrast, by which day and night differ most.

    Attributes:
        hidden: channels after the first operation.
        inputs: channels of its images.
        ends: whether the output is also searched, among the operations of residual cells (the paper's S^r), as in the
            published code; otherwise it is a 3x3 convolution.

    Raises:
        SlimgenError: a number is out of range.
    """

    hidden: Width = 64
    inputs: Width = 3
    ends: bool = False

    noun: ClassVar[str] = "discriminator"
    multiple: ClassVar[int] = 16
    least: ClassVar[int] = 32  # a norm needs more than one pixel at 1/16 of the size

    def __post_init__(self) -> None:
        if min(self.hidden, self.inputs) < 1:
            rule = "hidden and inputs of a discriminator of cells must be at least 1"
            raise SlimgenError(rule, f"hidden {self.hidden}, inputs {self.inputs}")

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The slots from the image to the scores."""
        wide = self.hidden
        first, *slots = _cell(0, "encoding", 1, self.inputs, wide, 2 * wide)
        slots += _cell(1, "encoding", 4, 2 * wide, 4 * wide, 8 * wide)
        end = OPERATIONS["residual"] if self.ends else SCORES
        scores = Slot("output", "residual", end, 8 * wide, 1, 16, normed=False, end="")
        cells = first._replace(normed=False), *slots
        return *(slot._replace(leaky=True) for slot in cells), scores


Shape = GeneratorShape | DiscriminatorShape


def _cell(number: int, kind: Kind, part: int, *widths: int) -> list[Slot]:
    """Return a cell's two slots; it starts at 1/part of the sides; widths are before, between and after them."""
    options = OPERATIONS[kind]
    skips: tuple[Skip, Skip] = ("begin", "end") if kind == "residual" else ("", "")
    parts = {"encoding": (2 * part, 4 * part), "residual": (part, part), "decoding": (part // 2, part // 4)}[kind]
    return [
        Slot(f"cell{number}.op{index}", kind, options, widths[index], widths[index + 1], parts[index], skips[index])
        for index in (0, 1)
    ]


def by_hand(shape: GeneratorShape) -> Genotype:
    """Return CycleGAN's own operations in the cells: 3x3 convolutions, transposed ones, and 7x7 at both ends."""
    own = {"encoding": "conv3x3", "residual": "conv3x3", "decoding": TRANSPOSED}
    searched = [slot for slot in shape.slots if len(slot.options) > 1]
    return Genotype({slot.name: own[slot.kind] if "." in slot.name else ENDS[0] for slot in searched})


def space_of(shape: Shape) -> Space:
    """Return the space of a network: 8^2 5^(2(N - 2)) 3^2 genotypes for a generator, 8^4 for a discriminator."""
    return Space({slot.name: Choice(slot.options) for slot in shape.slots if len(slot.options) > 1})


def chosen(shape: Shape, genotype: Mapping[str, Value]) -> list[str]:
    """Return the operation of every slot; raise SpaceError where the genotype is invalid or lacks an operation."""
    genotype, names = genotype if isinstance(genotype, Genotype) else Genotype(genotype), []
    for slot in shape.slots:
        option = genotype.get(slot.name) if len(slot.options) > 1 else slot.options[0]
        if option not in slot.options:
            raise SpaceError(f"{slot.name} must be one of {', '.join(slot.options)}", repr(option))
        names.append(str(option))
    return names


def check_size(shape: Shape, height: int, width: int) -> None:
    """Raise SlimgenError unless a network of this shape can take images of this size."""
    if height % shape.multiple or width % shape.multiple or min(height, width) < shape.least:
        sides = f"multiples of {shape.multiple}, at least {shape.least} pixels"
        rule = f"the sides of images for a {shape.noun} of cells must be {sides}"
        raise SlimgenError(rule, f"{height} x {width}", "choose another size in the recipe")


def cells_cost(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
    """Return the cost of a genotype's network on one image; raises as `check_size` and `chosen`.

    Spectral norms cost nothing, as they fold into the weights.
    """
    check_size(shape, height, width)
    return total(_cost(*pair, height, width) for pair in zip(shape.slots, chosen(shape, genotype), strict=True))


@cache
def _cost(slot: Slot, option: str, height: int, width: int) -> Cost:
    return cost_of((slot.row(option),), height, width)


@dataclass(frozen=True, kw_only=True)
class _Built:
    """The options besides a network's shape.

    Attributes:
        genotype: the operation of every searched slot, such as `cell0.op0: conv5x5`, as a search writes it.
        spectral: whether all kernels have spectral norms; they cost nothing, as they fold into the weights.
    """

    genotype: Mapping[str, Value]
    spectral: bool = True

    def cost(self, height: int, width: int) -> Cost:
        """See `cells_cost`."""
        return cells_cost(cast(Shape, self), self.genotype, height, width)


@dataclass(frozen=True)
class GeneratorOptions(_Built, GeneratorShape):
    """The options of a generator."""


@dataclass(frozen=True)
class DiscriminatorOptions(_Built, DiscriminatorShape):
    """The options of a discriminator."""
