"""The ResNet generator as channel configurations, options, rows and cost. No torch.

The stem has c0 channels, the first halving 2 c1, the trunk 4 c2; the inner channels of the residual blocks are 4 c3 in
the first third of them, 4 c4 in the second and 4 c5 in the last; the doublings have 2 c6 and c7. Block input and output
stay at the trunk's width.
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
    """The channels of the parts: stem, after each halving, inside of each residual block, after each doubling.

    The second halving leaves the trunk, which is also what passes between the blocks.
    """

    stem: Any
    down1: Any
    trunk: Any
    blocks: tuple[Any, ...]
    up1: Any
    up2: Any

    @classmethod
    def of(cls, config: Sequence[Any], blocks: int) -> "Widths":
        """The widths of a configuration c0 .. c7, of numbers or of arrays."""
        each = [4 * config[3 + third] for third in range(3)]
        inner = tuple(each[third] for third in _thirds(blocks))
        return cls(config[0], 2 * config[1], 4 * config[2], inner, 2 * config[6], config[7])

    @classmethod
    def parse(cls, value: object, blocks: int) -> "Widths":
        """Widths from a recipe's mapping.

        Raises:
            RecipeError: other keys, no whole numbers of at least 1, or not one number for each block.
        """
        rule = f"widths give stem, down1, trunk, blocks ({blocks} numbers), up1 and up2, each at least 1"
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
    """For each residual block, which of c3, c4 and c5 it takes: 0, 1 or 2."""
    return [3 * block // blocks for block in range(blocks)]


def residual(row: Row) -> bool:
    """Whether a row is a residual block; others that have rows within are separable convolutions."""
    return row.name.startswith("block")


def check_size(height: int, width: int) -> None:
    """Raises SlimgenError unless a ResNet generator can take images of this size."""
    if height % _STRIDE or width % _STRIDE or min(height, width) < 2 * _STRIDE:
        raise SlimgenError(
            f"the ResNet generator needs sides that are multiples of {_STRIDE}, {2 * _STRIDE} pixels at the least",
            f"{height} x {width}",
            "choose another size in the recipe",
        )


@dataclass(frozen=True)
class ResnetOptions:
    """The options of a ResNet generator.

    Attributes:
        ngf: width of the stem; the residual blocks are four times as wide.
        dropout: probability of dropping in the residual blocks, 0 for no dropout layer.
        norm: `instance` (not affine), as CycleGAN has it, or `batch`, the default of pix2pix, with which convolutions
            have no bias but for the last.
        config: a channel configuration in place of `ngf` everywhere.
        widths: of every part, in place of both, as pruning leaves them: a mapping as `Widths.parse` takes it.

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
            raise SlimgenError("a ResNet generator needs a known norm", repr(self.norm), nearest(self.norm, NORMS))
        if min(self.inputs, self.outputs, self.ngf) < 1 or self.blocks < 0 or not 0 <= self.dropout < 1:
            raise SlimgenError(
                "a ResNet generator needs channels of at least 1, blocks of at least 0 and dropout in [0, 1)",
                f"inputs={self.inputs}, outputs={self.outputs}, ngf={self.ngf}, blocks={self.blocks}, "
                f"dropout={self.dropout}",
            )
        if self.config is not None and self.widths is not None:
            raise RecipeError("a ResNet generator takes config or widths", "both", "leave one of them out")

    @cached_property
    def parts(self) -> Widths:
        """The widths that the options stand for."""
        if self.widths is not None:
            return Widths.parse(self.widths, self.blocks)
        return Widths.of((self.ngf,) * 8 if self.config is None else CHANNELS.parse(self.config), self.blocks)

    def rows(self, widths: Widths | None = None) -> list[Row]:
        """The generator: rows named as `Widths` names its parts, `block0` and so on for the blocks, and `output`.

        Widths in place of the options' may be numbers, or arrays of one shape for many generators at once.
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
        """A convolution of a part, separable where the part's are."""
        return row

    def cost(self, height: int, width: int, config: Sequence[Any] | None = None) -> Cost:
        """What the generator costs on one image of so many pixels.

        Instead of the options' widths, `config` gives c0 .. c7: numbers; or integer arrays of one shape, for a Cost of
        arrays, so that millions of configurations are counted at once.

        Raises:
            SlimgenError: the network cannot take images of this size.
        """
        check_size(height, width)
        return cost_of(self.rows(None if config is None else Widths.of(config, self.blocks)), height, width)

    def covers(self, config: Sequence[int]) -> bool:
        """Whether every part is at least as wide as at a configuration."""
        wide, narrow = ((*parts[:3], *parts[3], *parts[4:]) for parts in (self.parts, Widths.of(config, self.blocks)))
        return all(more >= less for more, less in zip(wide, narrow, strict=True))

    @property
    def taps(self) -> list[str]:
        """The rows after which distillation compares: where the trunk begins, and the last block of each third.

        These are the four layers of GAN Compression, 6.1: with 9 blocks, after the halvings and blocks 3, 6 and 9.
        """
        last = {third: f"block{block}" for block, third in enumerate(_thirds(self.blocks))}
        return ["trunk", *last.values()]

    @property
    def tap_channels(self) -> list[int]:
        """How wide the features after these rows are."""
        return [self.parts.trunk] * len(self.taps)

    def writers(self) -> dict[str, str]:
        """Row name to the convolution that makes its channels, by its name in the state dict; of a block, inside."""
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
        """The option `widths` of this generator cut, given how many outputs each convolution keeps, by its name."""
        kept = {name: outputs(writer) for name, writer in self.writers().items() if name != "output"}
        blocks = [kept.pop(f"block{number}") for number in range(self.blocks)]
        return {**Widths(**kept, blocks=tuple(blocks))._asdict(), "blocks": blocks}


@dataclass(frozen=True)
class MobileResnetOptions(ResnetOptions):
    """The options of a mobile ResNet generator (GAN Compression, Li et al. 2020, section 3.2): the same, and one more.

    Attributes:
        separable: the parts whose convolutions are taken apart (their Table 4): `downsample`, which is the stem and
            both halvings, `resblocks` and `upsample`, both doublings. The output convolution never is.

    Raises:
        RecipeError: other parts.
    """

    separable: Sequence[str] = ("resblocks",)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = get_args(Part)
        if isinstance(self.separable, str) or not set(self.separable) <= set(known):
            raise RecipeError(f"separable lists parts of {', '.join(known)}", repr(self.separable))

    def _decomposed(self, row: Row, part: Part) -> Row:
        return separable(row) if part in self.separable else row
