"""The SPADE generator as channel configurations, options, rows and cost. No torch.

The first convolution has 16 c0 channels, which are the trunk of the three blocks after it; their inner widths are
16 c1, 16 c2 and 16 c3; the four upper blocks leave 8 c4, 4 c5, 2 c6 and c7. The SPADE layers of a block see the labels
through twice its c. The named spaces are those searched on Cityscapes, in the authors' two pipelines.
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
"""The norms that a SPADE layer can modulate: those without parameters."""
TAPS = ("head_0", "G_middle_1", "up_1")
"""The blocks after which GAN Compression compares student and teacher."""
_MULTIPLES = {"head_0": 16, "G_middle_0": 16, "G_middle_1": 16, "up_0": 8, "up_1": 4, "up_2": 2, "up_3": 1}
_PARTS = {6: (64, 32, 16, 8, 4, 2, 1), 5: (32, 16, 16, 8, 4, 2, 1)}
"""How often the size doubles, the authors' "more" and "normal", and at which part of it each block works."""


class Block(NamedTuple):
    """One residual block, named as in published checkpoints, at 1/part of the image's sides.

    It has `inner` channels between its two convolutions; if `learned`, its shortcut is a third. Its SPADE layers
    modulate `norm` by separable convolutions if `mobile`, of their view with `hidden` channels of the label maps.
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
        """The block as a row; its convolutions and SPADE layers are named as in published checkpoints."""
        part = self.part
        within = [
            Row("conv_0", "convolution", self.inputs, self.inner, part=part),
            Row("conv_1", "convolution", self.inner, self.outputs, part=part),
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
        ngf: channels of the last block; sixteen times as many at the smallest size.
        config: a channel configuration in place of `ngf`.
        norm: what SPADE modulates: `batch`, as published, whose statistics want several images (or pixels) a batch;
            or `instance`, which sees single images.
        doublings: 6, as published; or 5, which starts from 1/32 of the size, for smaller images.
        spectral: spectral normalisation of the blocks' convolutions (Miyato et al. 2018), as GauGAN is trained; not
            of those that read the labels, nor of the first and the last one. Free, as it folds into the weights.

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
            raise SlimgenError("a SPADE generator needs a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if self.doublings not in _PARTS:
            raise SlimgenError("a SPADE generator doubles the size 5 or 6 times", repr(self.doublings))
        if min(self.inputs, self.outputs) < 1:
            rule = "a SPADE generator needs at least 1 channel"
            raise SlimgenError(rule, f"inputs={self.inputs}, outputs={self.outputs}")

    @cached_property
    def widths(self) -> Config:
        """c0 .. c7."""
        return CHANNELS.parse((self.ngf,) * 8 if self.config is None else self.config)

    def blocks(self, config: Sequence[Any] | None = None) -> list[Block]:
        """The residual blocks from the smallest size to the largest.

        The first three have no learned shortcut, so what leaves them is as wide as the first convolution; only between
        their convolutions are they as wide as their own c says. Which shortcuts are learned does not depend on widths.
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
        """The first convolution and the last, around these blocks."""
        first, last = blocks[0], blocks[-1]
        return (
            Row("fc", "convolution", self.inputs, first.inputs, part=first.part),
            Row("conv_img", "convolution", last.outputs, self.outputs),
        )

    def check_size(self, height: int, width: int) -> None:
        """Raises SlimgenError unless the generator can draw images of this size."""
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
        """What the generator costs on one image of so many pixels; raises as `check_size`.

        Instead of the options' c0 .. c7, `config` gives others: numbers, or integer arrays of one shape for a Cost of
        arrays.
        """
        self.check_size(height, width)
        blocks = self.blocks(config)
        # Blocks repeat between the candidates of a search; arrays of them do not, nor can they be kept by value.
        block_cost = _block_cost if isinstance(blocks[0].inputs, int) else _block_cost.__wrapped__
        costs = [block_cost(block, height, width) for block in blocks]
        return total((cost_of(self.ends(blocks), height, width), *costs))

    @property
    def tap_channels(self) -> list[int]:
        """How wide the features are that distillation compares."""
        return [block.outputs for block in self.blocks() if block.name in TAPS]


@dataclass(frozen=True)
class MobileSpadeOptions(SpadeOptions):
    """The options of a mobile SPADE generator: the same."""

    mobile: ClassVar[bool] = True
