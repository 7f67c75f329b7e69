"""The SPADE generator as channel configurations, options, rows and cost. No torch.

The first convolution has 16 c0 channels, the trunk's width in the three blocks after it, whose inner widths are 16 c1,
16 c2 and 16 c3. The outputs of the four upper blocks have 8 c4, 4 c5, 2 c6 and c7 channels. The SPADE layers of a block
with ci map the labels to 2 ci hidden channels. The named spaces are those that the authors' two pipelines search on
Cityscapes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Norm, Row, cost_of, separable
from slimgen.errors import SlimgenError, nearest
from slimgen.nets.configurations import Config, Configurations
from slimgen.nets.options import Width

CHANNELS = Configurations(
    noun="SPADE channels",
    example="32_40_40_32_40_24_32_24",
    names=tuple(f"channel.{part}" for part in ("fc", "head", "middle0", "middle1", "up0", "up1", "up2", "up3")),
    spaces={
        "channels-48-spade": ((48, 40, 32),) * 5 + ((48, 40, 32, 24),) * 3,
        "channels-64-spade": ((64, 48, 40, 32),) * 5 + ((64, 48, 40, 32, 24),) * 3,
    },
)

NORMS: dict[str, Norm] = {"batch": "plain batch", "instance": "instance"}
"""The norms that a SPADE layer can modulate; they have no parameters."""
TAPS = ("head_0", "G_middle_1", "up_1")
"""The blocks after which GAN Compression compares student and teacher."""
_LEAKY = ("leaky",)
_MULTIPLES = {"head_0": 16, "G_middle_0": 16, "G_middle_1": 16, "up_0": 8, "up_1": 4, "up_2": 2, "up_3": 1}
_PARTS = {6: (64, 32, 16, 8, 4, 2, 1), 5: (32, 16, 16, 8, 4, 2, 1)}
"""By number of doublings (6 and 5 are the authors' "more" and "normal"): at 1/part of the size, each block's part."""


class Block(NamedTuple):
    """One residual block, named as in published checkpoints, at 1/part of the image's sides.

    It has `inner` channels between its two convolutions; if `learned`, its shortcut is a third convolution. Its SPADE
    layers map the label maps to `hidden` channels and modulate `norm` by convolutions, separable ones if `mobile`.
    """

    name: str
    inputs: Any
    inner: Any
    outputs: Any
    hidden: Any
    learned: bool
    part: int
    labels: int
    norm: Norm
    mobile: bool

    def row(self) -> Row:
        """Return the block as a row; its convolutions and SPADE layers are named as in published checkpoints."""
        part = self.part
        within = [
            Row("conv_0", "convolution", self.inputs, self.inner, part=part, before=_LEAKY),
            Row("conv_1", "convolution", self.inner, self.outputs, part=part, before=_LEAKY),
            self._spade("norm_0", self.inputs),
            self._spade("norm_1", self.inner),
        ]
        if self.learned:
            within.append(Row("conv_s", "convolution", self.inputs, self.outputs, 1, part, bias=False))
            within.append(self._spade("norm_s", self.inputs))
        return Row(self.name, "block", self.inputs, self.outputs, part=part, within=tuple(within))

    def _spade(self, name: str, channels: Any) -> Row:
        within = (
            Row("param_free_norm", "norm", channels, channels, part=self.part, norm=self.norm),
            Row("mlp_shared", "convolution", self.labels, self.hidden, part=self.part, after=("relu",)),
            self._modulation("mlp_gamma", channels),
            self._modulation("mlp_beta", channels),
            Row("scale", "product", channels, channels, part=self.part),
        )
        return Row(name, "block", channels, channels, part=self.part, within=within)

    def _modulation(self, name: str, channels: Any) -> Row:
        row = Row(name, "convolution", self.hidden, channels, part=self.part)
        return separable(row) if self.mobile else row


@lru_cache(maxsize=1 << 14)
def _block_cost(block: Block, height: int, width: int) -> Cost:
    return cost_of((block.row(),), height, width)


@dataclass(frozen=True)
class SpadeOptions:
    """The options of a SPADE generator.

    Attributes:
        inputs: channels of the label maps, such as one for each class and one for the edges of instances.
        outputs: channels of the images.
        ngf: channels of the last block; sixteen times as many at the smallest size.
        config: the widths of all parts in place of `ngf`: eight numbers c0 .. c7 as in GAN Compression, such as
            `32_40_40_32_40_24_32_24`; null uses `ngf` everywhere.
        norm: the norm that SPADE modulates: `batch`, as published, whose statistics need several images (or pixels) in
            a batch, or `instance`, which normalises each image alone.
        doublings: how often the size doubles: 6, as published, or 5, which starts at 1/32 of the size, for smaller
            images.
        spectral: whether the blocks' convolutions have spectral norm (Miyato et al. 2018), as in GauGAN's training. The
            convolutions that read the labels and the first and last one have none. It costs nothing, as it folds into
            the weights.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the configuration is malformed.
    """

    inputs: Width = 36
    outputs: Width = 3
    ngf: Width = 64
    config: object = None
    norm: str = "batch"
    doublings: int = 6
    spectral: bool = False

    mobile: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise SlimgenError("a SPADE generator must have a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if self.doublings not in _PARTS:
            raise SlimgenError("doublings of a SPADE generator must be 5 or 6", repr(self.doublings))
        if min(self.inputs, self.outputs) < 1:
            rule = "inputs and outputs of a SPADE generator must be at least 1"
            raise SlimgenError(rule, f"inputs={self.inputs}, outputs={self.outputs}")

    @cached_property
    def widths(self) -> Config:
        """c0 .. c7."""
        return CHANNELS.parse((self.ngf,) * 8 if self.config is None else self.config)

    def blocks(self, config: Sequence[Any] | None = None) -> list[Block]:
        """Return the residual blocks from the smallest size to the largest.

        The first three have no learned shortcut, so their outputs are as wide as the first convolution's; their own c
        sets only the width between their convolutions. Which shortcuts are learned does not depend on the widths.
        """
        first, *rest = self.widths if config is None else config
        blocks: list[Block] = []
        channels = 16 * first
        for (name, multiple), wide, part in zip(_MULTIPLES.items(), rest, _PARTS[self.doublings], strict=True):
            inner, learned = multiple * wide, multiple < 16
            leaving = inner if learned else channels
            shape = (2 * wide, learned, part, self.inputs, NORMS[self.norm], self.mobile)
            blocks.append(Block(name, channels, inner, leaving, *shape))
            channels = leaving
        return blocks

    def ends(self, blocks: Sequence[Block]) -> tuple[Row, Row]:
        """Return the first and the last convolution around these blocks."""
        first, last = blocks[0], blocks[-1]
        return (
            Row("fc", "convolution", self.inputs, first.inputs, part=first.part),
            Row("conv_img", "convolution", last.outputs, self.outputs, before=_LEAKY),
        )

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError unless the generator can make images of this size."""
        single = self.mobile or self.norm == "instance"  # a norm of single images, which a single pixel does not suit
        side = 2**self.doublings
        fits = min(height, width) >= side and not height % side and not width % side
        if fits and not (single and height == width == side):
            return
        least = f", and with InstanceNorm more than {side} x {side} pixels" if single else ""
        raise SlimgenError(
            f"a SPADE generator of {self.doublings} doublings needs sides that are multiples of {side}{least}",
            f"{height} x {width}",
            "use doublings: 5" if self.doublings == 6 else "use larger images",
        )

    def cost(self, height: int, width: int, config: Sequence[Any] | None = None) -> Cost:
        """Return the generator's cost on one image of this size in pixels; raises as `check_size`.

        `config` replaces the options' c0 .. c7: numbers, or integer arrays of one shape, which give a Cost of arrays.
        """
        self.check_size(height, width)
        blocks = self.blocks(config)
        # Candidates of a search share blocks, so their costs are cached; arrays are not shared, nor hashable.
        block_cost = _block_cost if isinstance(blocks[0].inputs, int) else _block_cost.__wrapped__
        costs = [block_cost(block, height, width) for block in blocks]
        return total((cost_of(self.ends(blocks), height, width), *costs))

    @property
    def tap_channels(self) -> list[int]:
        """The channels of the features that distillation compares."""
        return [block.outputs for block in self.blocks() if block.name in TAPS]


@dataclass(frozen=True)
class MobileSpadeOptions(SpadeOptions):
    """The options of a mobile SPADE generator, the same as of a dense one."""

    mobile: ClassVar[bool] = True
