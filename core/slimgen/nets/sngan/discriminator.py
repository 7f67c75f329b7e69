"""The discriminator of unconditional generators: SN-GAN's for CIFAR-10 (Miyato et al. 2018), as in AutoGAN.

It has an *optimised* block, which starts with a convolution instead of a ReLU, and three further blocks; the first two
of the four halve the size. AlphaGAN keeps it fixed, except in Table 3, which searches its convolutions among the
generator's normal operations.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import RecipeError
from slimgen.nets.initial import GLOROT
from slimgen.nets.layers import Described, weights_of
from slimgen.nets.noise import NORMAL, Normal, key_of, normal_rows, run_named
from slimgen.nets.options import Width
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

_PARTS = (1, 2, 4, 4)
"""Each block's input is at 1/part of the image's sides; the first two blocks halve the size."""
_RAISING = tuple(operation for operation in NORMAL if operation.startswith("conv"))
"""The operations for the first slot, which raises three channels to many: a separable one would mix only the three."""

Run = Callable[[str, Tensor], Tensor]


class Slot(NamedTuple):
    """The place of one searchable operation; it has the name of its choice.

    Attributes:
        part: as in `Row`.
        raises: whether it maps the image's channels to the features'.
    """

    name: str
    part: int
    raises: bool

    def rows(self, operation: str, inputs: int, channels: int) -> tuple[Row, ...]:
        """Return the rows of an operation in this slot, without norms; the network's first one has no ReLU."""
        before, first = (inputs, "identity") if self.raises else (channels, "relu")
        return normal_rows(operation, before, channels, self.part, norm="", first=first)


def slots() -> Iterator[Slot]:
    """Yield both operations of each block."""
    for block, part in enumerate(_PARTS, start=1):
        yield Slot(f"block{block}.op1", part, block == 1)
        yield Slot(f"block{block}.op2", part, False)


SPACE = Space({slot.name: Choice(_RAISING if slot.raises else NORMAL) for slot in slots()})
"""3 x 6^7 discriminators: two normal operations in each block."""
SN_GAN = Genotype(dict.fromkeys(SPACE, "conv_3x3"))
"""The hand-designed discriminator: every convolution is 3x3."""


def check_size(height: int, width: int) -> None:
    """Raise RecipeError where images are too small to be halved twice."""
    if min(height, width) < 4:
        raise RecipeError("images for this discriminator must have at least 4 pixels a side", (height, width))


@dataclass(frozen=True)
class NoiseDiscriminatorOptions:
    """The options of an unconditional discriminator; raises RecipeError where one is out of range.

    Attributes:
        genotype: the operations of all blocks, such as `block1.op1: conv_3x3`; null is SN-GAN's, all `conv_3x3`.
        inputs: channels of the images.
        channels: number of channels of all features.
    """

    genotype: Mapping[str, Value] | None = None
    inputs: Width = 3
    channels: Width = 128

    def __post_init__(self) -> None:
        if min(self.inputs, self.channels) < 1:
            got = f"inputs={self.inputs}, channels={self.channels}"
            raise RecipeError("inputs and channels of a discriminator must be at least 1", got)

    def chosen(self) -> Genotype:
        """Return the genotype; raise SpaceError if it is of another space."""
        genotype = Genotype(self.genotype) if self.genotype is not None else SN_GAN
        SPACE.check(genotype)
        return genotype

    def fixed(self) -> tuple[Row, Row, Row]:
        """Return the layers that are not searched: the shortcuts of the blocks that halve the size, and the score."""
        shortcut = Row("block2", "convolution", self.channels, self.channels, 1, 2)
        score = Row("score", "linear", self.channels, 1, bias=False)
        return shortcut._replace(name="block1", inputs=self.inputs), shortcut, score

    def cost(self, height: int, width: int) -> Cost:
        """See `Described`; spectral norms cost nothing, as they fold into the weights."""
        check_size(height, width)
        genotype = self.chosen()
        searched = [slot.rows(str(genotype[slot.name]), self.inputs, self.channels) for slot in slots()]
        return cost_of([*self.fixed(), *(row for rows in searched for row in rows)], height, width)


def build_fixed(options: NoiseDiscriminatorOptions) -> tuple[nn.ModuleDict, nn.Module]:
    """Build the shortcuts and the score."""
    *shortcuts, score = options.fixed()
    named = {row.name: spectral_norm(weights_of(row)) for row in shortcuts}
    return nn.ModuleDict(named), spectral_norm(weights_of(score))


def score_blocks(images: Tensor, run: Run, shortcuts: nn.ModuleDict, score: nn.Module) -> Tensor:
    """Run images through the blocks and the score.

    Args:
        images: (N, inputs, H, W).
        run: an operation's name and its input to its output.
        shortcuts: 1x1 convolutions of the blocks that halve the size.
        score: a linear layer on the sum over all pixels.

    Returns:
        Scores (N, 1).
    """
    features = images
    for name in (f"block{block}" for block in range(1, len(_PARTS) + 1)):
        out = run(f"{name}.op2", run(f"{name}.op1", features))
        if name == "block1":
            # A 1x1 convolution and a mean commute; after the mean, it costs a quarter.
            features = functional.avg_pool2d(out, 2) + shortcuts[name](functional.avg_pool2d(features, 2))
        elif name in shortcuts:
            features = functional.avg_pool2d(out + shortcuts[name](features), 2)
        else:
            features = out + features
    scores: Tensor = score(torch.relu(features).sum((2, 3)))
    return scores


class NoiseDiscriminator(Described):
    """An unconditional discriminator: a higher score is more real. All layers have spectral norms."""

    Options = NoiseDiscriminatorOptions
    options: NoiseDiscriminatorOptions
    initial = GLOROT

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.genotype, inputs, channels = self.options.chosen(), self.options.inputs, self.options.channels
        self.shortcuts, self.score = build_fixed(self.options)
        rows = {slot.name: slot.rows(str(self.genotype[slot.name]), inputs, channels) for slot in slots()}
        self.operations = nn.ModuleDict({key_of(name): Normal(part, spectral_norm) for name, part in rows.items()})

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W), at least 4 pixels a side, to scores (N, 1)."""
        return score_blocks(images, partial(run_named, self.operations), self.shortcuts, self.score)
