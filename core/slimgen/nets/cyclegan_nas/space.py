"""The search space of CycleGANAS (An and Joo 2023, section 3.2): cells of two operations each. No torch.

A network is a row of slots; in each stands one operation, chosen from a set or given. The space, the closed-form cost
and the networks all follow the same row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar, Literal, NamedTuple, cast

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import SlimgenError
from slimgen.nets.options import Repeats, Width
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.space import Space

Kind = Literal["encoding", "residual", "decoding"]
Skip = Literal["", "begin", "end"]

CONVOLUTIONS = {
    "conv3x3": (3, 1),
    "dil_conv3x3": (3, 2),
    "conv4x4": (4, 1),
    "conv5x5": (5, 1),
    "dil_conv5x5": (5, 2),
    "conv7x7": (7, 1),
}
"""The operations that are one convolution: the side of the kernel, and how many pixels lie from tap to tap."""
TRANSPOSED = "transposed3x3"

OPERATIONS: dict[Kind, tuple[str, ...]] = {
    "encoding": ("max_pool", "avg_pool", *CONVOLUTIONS),
    "residual": tuple(name for name in CONVOLUTIONS if name != "conv4x4"),
    "decoding": ("nearest", "bilinear", TRANSPOSED),
}
"""The paper's sets S^e, S^r and S^d, in increasing order of cost."""
ENDS = ("conv7x7",)  # the stem and the output of a generator, as in CycleGAN, where they are not searched
SCORES = ("conv3x3",)  # the output of a discriminator, likewise


class Slot(NamedTuple):
    """The place of one operation in a network, named as its choice.

    Attributes:
        kind: how it changes the size: halved, kept or doubled.
        options: the operations that can stand here; one where nothing is searched.
        inputs: channels.
        outputs: channels.
        part: as of `Row`.
        skip: `begin` where a residual cell begins, `end` where its input is added.
        normed: a norm follows.
        end: what comes last: an activation, `tanh`, or nothing behind scores.
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

    def row(self, option: str) -> Row:
        """One operation in this slot: its convolution; pools and interpolations before a pointwise one are free."""
        transposed = option == TRANSPOSED
        kernel = 3 if transposed else CONVOLUTIONS.get(option, (1, 1))[0]
        stride = 2 if transposed or (self.kind == "encoding" and option in CONVOLUTIONS) else 1
        plain = Row(self.name, "convolution", self.inputs, self.outputs, kernel, self.part, stride)
        return plain._replace(kind="transposed" if transposed else plain.kind, norm="instance" if self.normed else "")


@dataclass(frozen=True)
class GeneratorShape:
    """The size of a generator; raises SlimgenError where a number is out of range.

    The paper says how many channels leave the encoding cell; the stem and the first operation have a quarter and a half
    of them, and the decoding cell goes back the same way, as in CycleGAN.

    Attributes:
        hidden: channels after the encoding cell (H): 64 while searching.
        cells: in all (N): one that encodes, N - 2 residual ones, one that decodes.
        inputs: channels of the images that enter.
        outputs: channels of the images that leave.
        ends: choose the stem and the output from S^r, too, as the published code does.
    """

    hidden: Width = 64
    cells: Repeats = 11
    inputs: Width = 3
    outputs: Width = 3
    ends: bool = False

    noun: ClassVar[str] = "generator"
    multiple: ClassVar[int] = 4
    least: ClassVar[int] = 8  # reflection needs more than one pixel at 1/4 of the size

    def __post_init__(self) -> None:
        if self.hidden < 4 or self.cells < 2 or min(self.inputs, self.outputs) < 1:
            rule = "a generator of cells has a hidden width of at least 4, 2 cells and channels of at least 1"
            raise SlimgenError(rule, f"hidden {self.hidden}, cells {self.cells}, {self.inputs} to {self.outputs}")

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """From the stem to the output."""
        full, half, hidden = self.hidden // 4, self.hidden // 2, self.hidden
        end = OPERATIONS["residual"] if self.ends else ENDS
        slots = [Slot("stem", "residual", end, self.inputs, full), *_cell(0, "encoding", 1, full, half, hidden)]
        for cell in range(1, self.cells - 1):
            slots += _cell(cell, "residual", 4, hidden, hidden, hidden)
        slots += _cell(self.cells - 1, "decoding", 4, hidden, half, full)
        return *slots, Slot("output", "residual", end, full, self.outputs, normed=False, end="tanh")


@dataclass(frozen=True)
class DiscriminatorShape:
    """The size of a discriminator: two encoding cells, each operation twice as wide as the one before, and the scores.

    No norm follows the first operation, as in PatchGAN and in the published code: it would hide how bright and how
    contrasted an image is, which is most of what tells day from night. (The paper says that one follows every one.)

    Attributes:
        hidden: channels after the first operation.
        inputs: channels of its images.
        ends: choose the output from S^r, too, as the published code does.

    Raises:
        SlimgenError: a number out of range.
    """

    hidden: Width = 64
    inputs: Width = 3
    ends: bool = False

    noun: ClassVar[str] = "discriminator"
    multiple: ClassVar[int] = 16
    least: ClassVar[int] = 32  # a norm needs more than one pixel at 1/16 of the size

    def __post_init__(self) -> None:
        if min(self.hidden, self.inputs) < 1:
            rule = "a discriminator of cells has a hidden width and inputs of at least 1"
            raise SlimgenError(rule, f"hidden {self.hidden}, inputs {self.inputs}")

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """From the image to the scores."""
        wide = self.hidden
        first, *slots = _cell(0, "encoding", 1, self.inputs, wide, 2 * wide)
        slots += _cell(1, "encoding", 4, 2 * wide, 4 * wide, 8 * wide)
        end = OPERATIONS["residual"] if self.ends else SCORES
        scores = Slot("output", "residual", end, 8 * wide, 1, 16, normed=False, end="")
        return first._replace(normed=False), *slots, scores


Shape = GeneratorShape | DiscriminatorShape


def _cell(number: int, kind: Kind, part: int, *widths: int) -> list[Slot]:
    """The two operations of a cell that begins at 1/part of the sides, given the channels before, between and after."""
    options = OPERATIONS[kind]
    skips: tuple[Skip, Skip] = ("begin", "end") if kind == "residual" else ("", "")
    parts = {"encoding": (2 * part, 4 * part), "residual": (part, part), "decoding": (part // 2, part // 4)}[kind]
    return [
        Slot(f"cell{number}.op{index}", kind, options, widths[index], widths[index + 1], parts[index], skips[index])
        for index in (0, 1)
    ]


def space_of(shape: Shape) -> Space:
    """The choices of a network: 8^2 5^(2(N - 2)) 3^2 genotypes of a generator, 8^4 of a discriminator."""
    return Space({slot.name: Choice(slot.options) for slot in shape.slots if len(slot.options) > 1})


def chosen(shape: Shape, genotype: Mapping[str, Value]) -> list[str]:
    """The operation in every slot; raises SpaceError where it is no genotype, or one is missing or unknown."""
    genotype, names = genotype if isinstance(genotype, Genotype) else Genotype(genotype), []
    for slot in shape.slots:
        option = genotype.get(slot.name) if len(slot.options) > 1 else slot.options[0]
        if option not in slot.options:
            raise SpaceError(f"{slot.name} is one of {', '.join(slot.options)}", repr(option))
        names.append(str(option))
    return names


def check_size(shape: Shape, height: int, width: int) -> None:
    """Raises SlimgenError unless a network of this shape can take images of this size."""
    if height % shape.multiple or width % shape.multiple or min(height, width) < shape.least:
        sides = f"sides that are multiples of {shape.multiple}, {shape.least} pixels at the least"
        rule = f"a {shape.noun} of cells needs {sides}"
        raise SlimgenError(rule, f"{height} x {width}", "choose another size in the recipe")


def cells_cost(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
    """What the network of a genotype costs on one image; raises as `check_size` and `chosen` do.

    Spectral norms are free: they fold into the weights.
    """
    check_size(shape, height, width)
    return total(_cost(*pair, height, width) for pair in zip(shape.slots, chosen(shape, genotype), strict=True))


@cache
def _cost(slot: Slot, option: str, height: int, width: int) -> Cost:
    return cost_of((slot.row(option),), height, width)


@dataclass(frozen=True, kw_only=True)
class _Built:
    """Options beside a network's shape: its genotype (see `space_of`), and whether kernels have spectral norms."""

    genotype: Mapping[str, Value]
    spectral: bool = True

    def cost(self, height: int, width: int) -> Cost:
        """As `cells_cost`."""
        return cells_cost(cast(Shape, self), self.genotype, height, width)


@dataclass(frozen=True)
class GeneratorOptions(_Built, GeneratorShape):
    """The options of a generator."""


@dataclass(frozen=True)
class DiscriminatorOptions(_Built, DiscriminatorShape):
    """The options of a discriminator."""
