"""The search space of CycleGANAS (An and Joo 2023, section 3.2): cells of two operations each. No torch.

A network is a row of places; each place is one operation, chosen from a set or given. The space, the closed-form cost
and the networks all follow the same row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from slimgen.errors import SlimgenError
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.space import Space

Kind = Literal["encoding", "residual", "decoding"]


class Convolution(NamedTuple):
    """The kernel of an operation.

    Attributes:
        kernel: its side.
        dilation: pixels from tap to tap.
    """

    kernel: int
    dilation: int = 1

    @property
    def padding(self) -> int:
        """Pixels on every side that keep the size, or with stride 2 halve it exactly."""
        return self.dilation * ((self.kernel - 1) // 2)


CONVOLUTIONS = {
    "conv3x3": Convolution(3),
    "dil_conv3x3": Convolution(3, 2),
    "conv4x4": Convolution(4),
    "conv5x5": Convolution(5),
    "dil_conv5x5": Convolution(5, 2),
    "conv7x7": Convolution(7),
}
"""The operations that are one convolution; dilated ones leave one pixel out between two taps."""
POOLS = ("max_pool", "avg_pool")
INTERPOLATIONS = ("nearest", "bilinear")
TRANSPOSED = "transposed3x3"

OPERATIONS: dict[Kind, tuple[str, ...]] = {
    "encoding": (*POOLS, *CONVOLUTIONS),
    "residual": tuple(name for name in CONVOLUTIONS if name != "conv4x4"),
    "decoding": (*INTERPOLATIONS, TRANSPOSED),
}
"""The paper's sets S^e, S^r and S^d, in increasing order of cost."""
ENDS = "conv7x7"
"""The stem and the output of a generator, as in CycleGAN, where they are not searched."""
SCORES = "conv3x3"
"""The output of a discriminator, likewise."""


class Place(NamedTuple):
    """One operation of a network.

    Attributes:
        name: of its choice.
        kind: how it changes the size: halved, kept or doubled.
        options: what can stand here; one where nothing is searched.
        inputs: channels.
        outputs: channels.
        skip: `begin` where a residual cell begins, `end` where its input is added.
        normed: a norm follows.
        last: no activation follows.
    """

    name: str
    kind: Kind
    options: tuple[str, ...]
    inputs: int
    outputs: int
    skip: Literal["", "begin", "end"] = ""
    normed: bool = True
    last: bool = False


@dataclass(frozen=True)
class GeneratorShape:
    """The size of a generator.

    The paper says how many channels leave the encoding cell; the stem and the first operation have a quarter and a half
    of them, and the decoding cell goes back the same way, as in CycleGAN.

    Attributes:
        hidden: channels after the encoding cell (H): 64 while searching.
        cells: in all (N): one that encodes, N - 2 residual ones, one that decodes.
        inputs: channels of the images that enter.
        outputs: channels of the images that leave.
        ends: choose the stem and the output from S^r, too, as the published code does.

    Raises:
        SlimgenError: a number out of range.
    """

    hidden: int = 64
    cells: int = 11
    inputs: int = 3
    outputs: int = 3
    ends: bool = False

    def __post_init__(self) -> None:
        if self.hidden < 4 or self.cells < 2 or min(self.inputs, self.outputs) < 1:
            rule = "a generator of cells has a hidden width of at least 4, 2 cells and channels of at least 1"
            raise SlimgenError(rule, f"hidden {self.hidden}, cells {self.cells}, {self.inputs} to {self.outputs}")

    @property
    def row(self) -> tuple[Place, ...]:
        """The places, from the stem to the output."""
        full, half, hidden = self.hidden // 4, self.hidden // 2, self.hidden
        end = OPERATIONS["residual"] if self.ends else (ENDS,)
        row = [Place("stem", "residual", end, self.inputs, full), *_cell(0, "encoding", full, half, hidden)]
        for cell in range(1, self.cells - 1):
            row += _cell(cell, "residual", hidden, hidden, hidden)
        row += _cell(self.cells - 1, "decoding", hidden, half, full)
        return *row, Place("output", "residual", end, full, self.outputs, normed=False, last=True)


@dataclass(frozen=True)
class DiscriminatorShape:
    """The size of a discriminator: two encoding cells, each operation twice as wide as the one before, and the scores.

    No norm follows the first operation, as in PatchGAN and in the published code: an instance norm there would hide how
    bright and how contrasted an image is, which is most of what tells day from night. (The paper says of all operations
    that a norm follows.)

    Attributes:
        hidden: channels after the first operation.
        inputs: channels of what is judged.
        ends: choose the output from S^r, too, as the published code does.

    Raises:
        SlimgenError: a number out of range.
    """

    hidden: int = 64
    inputs: int = 3
    ends: bool = False

    def __post_init__(self) -> None:
        if min(self.hidden, self.inputs) < 1:
            rule = "a discriminator of cells has a hidden width and inputs of at least 1"
            raise SlimgenError(rule, f"hidden {self.hidden}, inputs {self.inputs}")

    @property
    def row(self) -> tuple[Place, ...]:
        """The places, from the image to the scores."""
        wide = self.hidden
        begin, *row = _cell(0, "encoding", self.inputs, wide, 2 * wide)
        row += _cell(1, "encoding", 2 * wide, 4 * wide, 8 * wide)
        end = OPERATIONS["residual"] if self.ends else (SCORES,)
        output = Place("output", "residual", end, 8 * wide, 1, normed=False, last=True)
        return begin._replace(normed=False), *row, output


Shape = GeneratorShape | DiscriminatorShape


def _cell(number: int, kind: Kind, *widths: int) -> list[Place]:
    """The two operations of a cell, given the channels before, between and after."""
    residual = kind == "residual"
    first = Place(f"cell{number}.op0", kind, OPERATIONS[kind], widths[0], widths[1], "begin" if residual else "")
    return [first, Place(f"cell{number}.op1", kind, OPERATIONS[kind], widths[1], widths[2], "end" if residual else "")]


def space_of(shape: Shape) -> Space:
    """The choices of a network: 8^2 5^(2(N - 2)) 3^2 genotypes of a generator, 8^4 of a discriminator."""
    return Space({place.name: Choice(place.options) for place in shape.row if len(place.options) > 1})


def chosen(shape: Shape, genotype: Mapping[str, Value]) -> list[str]:
    """The operation of every place.

    Raises:
        SpaceError: no genotype, or an operation is missing or unknown.
    """
    if not isinstance(genotype, Genotype):
        genotype = Genotype(genotype)
    found = []
    for place in shape.row:
        option = genotype.get(place.name) if len(place.options) > 1 else place.options[0]
        if option not in place.options:
            raise SpaceError(f"{place.name} is one of {', '.join(place.options)}", repr(option))
        found.append(str(option))
    return found
