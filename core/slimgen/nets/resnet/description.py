"""The ResNet generator as channel configurations, options, rows and cost. No torch.

The stem has c0 channels, the first halving 2 c1, the trunk 4 c2. The residual blocks have 4 c3 inner channels in the
first third of the blocks, 4 c4 in the second and 4 c5 in the last; their inputs and outputs have the trunk's width. The
doublings have 2 c6 and c7.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Norm, Row, cost_of, separable, weights_at
from slimgen.errors import RecipeError, SlimgenError, nearest
from slimgen.nets.configurations import Configurations
from slimgen.nets.options import Probability, Repeats, Width

_PARTS = ("stem", "down1", "trunk", "blocks1", "blocks2", "blocks3", "up1", "up2")
CHANNELS = Configurations(
    noun="channels",
    example="32_32_48_32_48_48_16_16",
    names=tuple(f"channel.{part}" for part in _PARTS),
    spaces={
        "channels-48": ((48, 32),) * 2 + ((48, 40, 32),) * 4 + ((48, 32, 24, 16),) * 2,
        "channels-32": ((32, 24, 16),) * 8,
        "channels-64-cycleGAN": ((64, 48, 32, 24, 16),) * 8,
        "channels-64-pix2pix": ((64, 56, 48, 40, 32, 24, 16),) * 8,
    },
    short=True,
)
Part = Literal["downsample", "resblocks", "upsample"]
"""The three parts of the generator, as GAN Compression's Table 4 calls them."""
NORMS: dict[str, Norm] = {"instance": "instance", "batch": "batch"}
_STRIDE = 4  # two halvings on the way down
_REFLECT = ("reflect",)
_RELU = ("relu",)


class Widths(NamedTuple):
    """The channels of stem, halvings, residual blocks (inside) and doublings.

    The output of the second halving is the trunk, whose width the blocks keep.
    """

    stem: Any
    down1: Any
    trunk: Any
    blocks: tuple[Any, ...]
    up1: Any
    up2: Any

    @classmethod
    def of(cls, config: Sequence[Any], blocks: int) -> "Widths":
        """Return the widths of a configuration c0 .. c7, which may consist of numbers or arrays."""
        each = [4 * config[3 + third] for third in range(3)]
        inner = tuple(each[third] for third in _thirds(blocks))
        return cls(config[0], 2 * config[1], 4 * config[2], inner, 2 * config[6], config[7])

    @classmethod
    def parse(cls, value: object, blocks: int) -> "Widths":
        """Parse the widths in a recipe's mapping.

        Raises:
            RecipeError: keys are wrong, a width is not a whole number of at least 1, or there is not one per block.
        """
        rule = f"widths must have stem, down1, trunk, blocks ({blocks} numbers), up1 and up2, each at least 1"
        if not isinstance(value, Mapping) or set(value) != set(cls._fields):
            raise RecipeError(rule, repr(value)[:120])
        inner = value["blocks"]
        if not isinstance(inner, Sequence) or isinstance(inner, str) or len(inner) != blocks:
            raise RecipeError(rule, f"blocks {inner!r}")
        numbers = [*(value[name] for name in cls._fields if name != "blocks"), *inner]
        if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 1 for number in numbers):
            raise RecipeError(rule, repr(value)[:120])
        return cls(**{**value, "blocks": tuple(inner)})


def _thirds(blocks: int) -> list[int]:
    """Return for each residual block which of c3, c4 and c5 it takes: 0, 1 or 2."""
    return [3 * block // blocks for block in range(blocks)]


def residual(row: Row) -> bool:
    """Return whether a row is a residual block; other rows with inner rows are separable convolutions."""
    return row.name.startswith("block")


def check_size(height: int, width: int) -> None:
    """Raise SlimgenError unless a ResNet generator can take images of this size."""
    if height % _STRIDE or width % _STRIDE or min(height, width) < 2 * _STRIDE:
        raise SlimgenError(
            f"the sides of images for a ResNet generator must be multiples of {_STRIDE}, at least {2 * _STRIDE} pixels",
            f"{height} x {width}",
            "choose another size in the recipe",
        )


@dataclass(frozen=True)
class ResnetOptions:
    """The options of a ResNet generator.

    Attributes:
        inputs: channels of the input images.
        outputs: channels of the output images.
        ngf: channels of the stem; the residual blocks have four times as many.
        blocks: number of residual blocks.
        dropout: dropout probability in the residual blocks; 0 for no dropout layer.
        norm: `instance` (without scale and shift), as in CycleGAN, or `batch`, pix2pix's default, with which only the
            last convolution has a bias.
        config: the widths of all parts in place of `ngf`: eight numbers c0 .. c7 as in GAN Compression, such as
            `32_32_48_32_48_48_16_16`; null uses `ngf` everywhere.
        widths: the channels of every part in place of `ngf` and `config`, as pruning leaves them: a mapping of stem,
            down1, trunk, blocks (a list), up1 and up2.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the configuration or the widths are malformed, or both are given.
    """

    inputs: Width = 3
    outputs: Width = 3
    ngf: Width = 64
    blocks: Repeats = 9
    dropout: Probability = 0.0
    norm: str = "instance"
    config: object = None
    widths: object = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise SlimgenError("a ResNet generator must have a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if min(self.inputs, self.outputs, self.ngf) < 1 or self.blocks < 0 or not 0 <= self.dropout < 1:
            raise SlimgenError(
                "a ResNet generator must have channels of at least 1, blocks of at least 0 and dropout in [0, 1)",
                f"inputs={self.inputs}, outputs={self.outputs}, ngf={self.ngf}, blocks={self.blocks}, "
                f"dropout={self.dropout}",
            )
        if self.config is not None and self.widths is not None:
            raise RecipeError("a ResNet generator takes either config or widths", "both", "leave one of them out")

    @cached_property
    def parts(self) -> Widths:
        """The channels of every part."""
        if self.widths is not None:
            return Widths.parse(self.widths, self.blocks)
        return Widths.of((self.ngf,) * 8 if self.config is None else CHANNELS.parse(self.config), self.blocks)

    def rows(self, widths: Widths | None = None) -> list[Row]:
        """Return the rows, named like the parts of `Widths`; the blocks are `block0` ..., the last row is `output`.

        The argument replaces the options' widths: numbers, or arrays of one shape for many generators at once.
        """
        stem, down1, trunk, blocks, up1, up2 = self.parts if widths is None else widths
        normed: dict[str, Any] = {"norm": NORMS[self.norm], "bias": self.norm == "instance"}
        down = (
            Row("stem", "convolution", self.inputs, stem, 7, before=_REFLECT, after=_RELU, **normed),
            Row("down1", "convolution", stem, down1, part=2, stride=2, after=_RELU, **normed),
            Row("trunk", "convolution", down1, trunk, part=4, stride=2, after=_RELU, **normed),
        )
        up = (
            Row("up1", "transposed", trunk, up1, part=2, stride=2, after=_RELU, **normed),
            Row("up2", "transposed", up1, up2, stride=2, after=_RELU, **normed),
        )
        rows = [self._decomposed(row, "downsample") for row in down]
        within: tuple[Row, ...] = ()
        for number, inner in enumerate(blocks):
            if number == 0 or inner is not blocks[number - 1]:
                into = self._convolution("into", trunk, inner)
                into = into._replace(after=("relu", "dropout") if self.dropout else _RELU)
                within = into, self._convolution("back", inner, trunk)
            rows.append(Row(f"block{number}", "block", trunk, trunk, part=4, within=within))
        output = Row("output", "convolution", up2, self.outputs, 7, before=_REFLECT, after=("tanh",))
        return [*rows, *(self._decomposed(row, "upsample") for row in up), output]

    def _convolution(self, name: str, inputs: Any, outputs: Any) -> Row:
        norm, bias = NORMS[self.norm], self.norm == "instance"
        row = Row(name, "convolution", inputs, outputs, part=4, norm=norm, bias=bias, before=_REFLECT)
        return self._decomposed(row, "resblocks")

    def _decomposed(self, row: Row, part: Part) -> Row:
        """Return a convolution of a part, separable where the part is."""
        return row

    def cost(self, height: int, width: int, config: Sequence[Any] | None = None) -> Cost:
        """Return the generator's cost on one image of this size in pixels.

        `config` replaces the options' widths with c0 .. c7: numbers, or integer arrays of one shape, which give a Cost
        of arrays, so that millions of configurations are counted at once.

        Raises:
            SlimgenError: the network cannot take images of this size.
        """
        check_size(height, width)
        return cost_of(self.rows(None if config is None else Widths.of(config, self.blocks)), height, width)

    def covers(self, config: Sequence[int]) -> bool:
        """Return whether every part is at least as wide as in a configuration."""
        wide, narrow = ((*parts[:3], *parts[3], *parts[4:]) for parts in (self.parts, Widths.of(config, self.blocks)))
        return all(more >= less for more, less in zip(wide, narrow, strict=True))

    @property
    def taps(self) -> list[str]:
        """The rows whose outputs distillation compares: the trunk, and the last block of each third.

        These are GAN Compression's four layers (section 6.1): with 9 blocks, the trunk and blocks 3, 6 and 9.
        """
        last = {third: f"block{block}" for block, third in enumerate(_thirds(self.blocks))}
        return ["trunk", *last.values()]

    @property
    def tap_channels(self) -> list[int]:
        """The channels of the outputs of these rows."""
        return [self.parts.trunk] * len(self.taps)

    def writers(self) -> dict[str, str]:
        """Return row name to the state-dict name of the convolution that writes its channels (a block's inner ones)."""
        rows = self.rows()
        names = {name: f"model.{index}" for name, index in weights_at(rows).items()}
        for row in rows:
            if row.within and not residual(row):
                names[row.name] += f".conv.{weights_at(row.within)['pointwise']}"
            elif row.within:
                into = row.within[0]
                names[row.name] += f".conv_block.{weights_at(row.within)[into.name]}"
                if into.within:
                    names[row.name] += f".conv.{weights_at(into.within)['pointwise']}"
        return names

    def cut(self, outputs: Callable[[str], int]) -> dict[str, Any]:
        """Return the option `widths` of this generator after a cut; `outputs` gives each convolution's kept outputs."""
        kept = {name: outputs(writer) for name, writer in self.writers().items() if name != "output"}
        blocks = [kept.pop(f"block{number}") for number in range(self.blocks)]
        return {**Widths(**kept, blocks=tuple(blocks))._asdict(), "blocks": blocks}


@dataclass(frozen=True)
class MobileResnetOptions(ResnetOptions):
    """The options of a mobile ResNet generator (GAN Compression, Li et al. 2020, section 3.2): a ResNet's and one more.

    Attributes:
        separable: the parts with separable convolutions (GAN Compression, Table 4): `downsample` (the stem and both
            halvings), `resblocks`, `upsample` (both doublings). The output convolution is never separable.

    Raises:
        RecipeError: a part is unknown.
    """

    separable: Sequence[str] = ("resblocks",)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = get_args(Part)
        if isinstance(self.separable, str) or not set(self.separable) <= set(known):
            raise RecipeError(f"separable must list parts among {', '.join(known)}", repr(self.separable))

    def _decomposed(self, row: Row, part: Part) -> Row:
        return separable(row) if part in self.separable else row
