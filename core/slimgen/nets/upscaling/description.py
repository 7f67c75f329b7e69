"""Generators that enlarge pictures, as options, rows and cost: SRResNet, RRDBNet and SRVGGNetCompact. No torch.

The rows of a picture that becomes `scale` times as large are counted at the size of the output, so features of the
input's size are at 1/scale of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets.options import Repeats, Width

_LEAKY = ("leaky",)
CHAIN = 4
"""The convolutions of a dense block (RDB) whose outputs are concatenated; a fifth one ends it."""


def _numbers(name: str, value: object, count: int) -> tuple[int, ...]:
    """Return a list of widths; raise RecipeError unless it has `count` whole numbers of at least 1."""
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if numbers is None or len(numbers) != count or not all(type(one) is int and one >= 1 for one in numbers):
        rule = f"widths.{name} must be {count} whole number{'s' * (count != 1)} of at least 1"
        raise RecipeError(rule, repr(value)[:120])
    return numbers


def _parts(value: object, counts: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the option `widths`; raise RecipeError unless it has as many numbers under each name as `counts` says."""
    if not isinstance(value, Mapping) or set(value) != set(counts):
        raise RecipeError(f"widths must have {', '.join(counts)}", repr(value)[:120])
    return {name: _numbers(name, value[name], count) for name, count in counts.items()}


@dataclass(frozen=True)
class EnlargingOptions:
    """The options that all generators that enlarge pictures share.

    Attributes:
        inputs: channels of the input images.
        outputs: channels of the output images.
        channels: channels of the features.
        scale: the factor by which height and width grow.

    Raises:
        SlimgenError: an option is out of range.
    """

    inputs: Width = 3
    outputs: Width = 3
    channels: Width = 64
    scale: int = 4

    noun: ClassVar[str]
    scales: ClassVar[tuple[int, ...]]
    adds: ClassVar[bool] = True
    """Whether the enlarged input is added to the output."""

    def __post_init__(self) -> None:
        if min(self.inputs, self.outputs, self.channels) < 1:
            got = f"inputs={self.inputs}, outputs={self.outputs}, channels={self.channels}"
            raise SlimgenError(f"inputs, outputs and channels of an {self.noun} must be at least 1", got)
        if type(self.scale) is not int or self.scale not in self.scales:
            known = ", ".join(map(str, self.scales[:-1]))
            raise SlimgenError(f"scale of an {self.noun} must be {known} or {self.scales[-1]}", repr(self.scale))
        if self.adds and self.inputs != self.outputs:
            rule = f"an {self.noun} adds its enlarged input to its output, so inputs and outputs must be equal"
            raise SlimgenError(rule, f"inputs={self.inputs}, outputs={self.outputs}")

    @property
    def shrinks(self) -> int:
        """The factor by which the input is made smaller before anything else, its squares of pixels as channels."""
        return 1

    def rows(self) -> Iterable[Row]:
        """Return all layers, named as in the state dict."""
        raise NotImplementedError

    def check_size(self, height: int, width: int) -> None:
        """Raise SlimgenError unless the network can take images of this size."""
        if min(height, width) < 1 or height % self.shrinks or width % self.shrinks:
            rule = f"the sides of images for an {self.noun} with scale {self.scale} must be multiples of {self.shrinks}"
            raise SlimgenError(f"{rule} pixels", f"{height} x {width}", "choose another size in the recipe")

    def cost(self, height: int, width: int) -> Cost:
        """Return the generator's cost on one input image of this size in pixels; raises as `check_size`."""
        self.check_size(height, width)
        return cost_of(self.rows(), self.scale * height, self.scale * width)


class SrresnetWidths(NamedTuple):
    """The channels of an SRResNet: of its trunk, inside its blocks, after each enlargement, and before the output."""

    trunk: int
    blocks: tuple[int, ...]
    ups: tuple[int, ...]
    high: int


@dataclass(frozen=True)
class SrresnetOptions(EnlargingOptions):
    """The options of an SRResNet.

    Attributes:
        scale: the factor by which height and width grow: 2, 3 or 4.
        blocks: number of residual blocks.
        widths: the channels of every part in place of `channels`, as pruning leaves them: a mapping of trunk, blocks
            (inside each), ups (after each enlargement) and high (before the output), each a list.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the widths are malformed.
    """

    blocks: Repeats = 16
    widths: object = None

    noun: ClassVar[str] = "SRResNet"
    scales: ClassVar[tuple[int, ...]] = (2, 3, 4)

    @property
    def factors(self) -> tuple[int, ...]:
        """The factor of each enlargement."""
        return (2, 2) if self.scale == 4 else (self.scale,)

    @cached_property
    def parts(self) -> SrresnetWidths:
        """The channels of every part; raises RecipeError where the option `widths` is malformed."""
        if self.widths is None:
            every = self.channels
            return SrresnetWidths(every, (every,) * self.blocks, (every,) * len(self.factors), every)
        counts = {"trunk": 1, "blocks": self.blocks, "ups": len(self.factors), "high": 1}
        found = _parts(self.widths, counts)
        return SrresnetWidths(found["trunk"][0], found["blocks"], found["ups"], found["high"][0])

    def rows(self) -> Iterator[Row]:
        """Yield all layers, named as in BasicSR's state dict."""
        trunk, blocks, ups, high = self.parts
        part = self.scale
        yield Row("conv_first", "convolution", self.inputs, trunk, part=part, after=_LEAKY)
        for number, inner in enumerate(blocks):
            yield Row(f"body.{number}.conv1", "convolution", trunk, inner, part=part, after=("relu",))
            yield Row(f"body.{number}.conv2", "convolution", inner, trunk, part=part)
        before = trunk
        for number, (factor, after) in enumerate(zip(self.factors, ups, strict=True), start=1):
            # The activation follows the shuffle, and has as many elements as the convolution's output.
            outputs = after * factor**2
            yield Row(f"upconv{number}", "convolution", before, outputs, part=part, after=("shuffle", "leaky"))
            before, part = after, part // factor
        yield Row("conv_hr", "convolution", before, high, after=_LEAKY)
        yield Row("conv_last", "convolution", high, self.outputs)

    def writers(self) -> dict[str, str]:
        """Return row name to its convolution, as the state dict names it."""
        return {row.name: row.name for row in self.rows()}

    def cut(self, outputs: Callable[[str], int]) -> dict[str, Any]:
        """Return the option `widths` of this generator after a cut; `outputs` gives each convolution's kept outputs."""
        # The shuffle makes a square of filters one channel, so an enlargement keeps whole squares, and at least one.
        ups = [-(-outputs(f"upconv{number}") // factor**2) for number, factor in enumerate(self.factors, start=1)]
        blocks = [outputs(f"body.{number}.conv1") for number in range(self.blocks)]
        return {"trunk": [outputs("conv_first")], "blocks": blocks, "ups": ups, "high": [outputs("conv_hr")]}


class RrdbWidths(NamedTuple):
    """The channels of an RRDBNet: of its trunk, of the chain in each dense block, after the enlargements, and last."""

    trunk: int
    chains: tuple[tuple[int, ...], ...]
    ups: tuple[int, ...]
    high: int


@dataclass(frozen=True)
class RrdbnetOptions(EnlargingOptions):
    """The options of an RRDBNet.

    Attributes:
        scale: the factor by which height and width grow: 1, 2 or 4. With 2 and 1 the input is first made 2 and 4 times
            smaller, its squares of pixels as channels, and images must be multiples of 2 and 4 pixels.
        blocks: number of residual-in-residual dense blocks, of three dense blocks each.
        growth: channels that each convolution of a dense block adds; null is half of `channels`, as in ESRGAN.
        widths: the channels of every part in place of `channels` and `growth`, as pruning leaves them: a mapping of
            trunk, chains (four numbers for each dense block, one after another), ups and high, each a list.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the widths are malformed.
    """

    blocks: Repeats = 23
    growth: Width | None = None
    widths: object = None

    noun: ClassVar[str] = "RRDBNet"
    scales: ClassVar[tuple[int, ...]] = (1, 2, 4)
    adds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.growth is not None and self.growth < 1:
            raise SlimgenError("growth of an RRDBNet must be at least 1", repr(self.growth))

    @property
    def shrinks(self) -> int:
        """The factor by which the input is made smaller: what the enlargement by four is more than `scale`."""
        return 4 // self.scale

    @cached_property
    def parts(self) -> RrdbWidths:
        """The channels of every part; raises RecipeError where the option `widths` is malformed."""
        dense = 3 * self.blocks
        if self.widths is None:
            growth = max(1, self.channels // 2) if self.growth is None else self.growth
            return RrdbWidths(self.channels, ((growth,) * CHAIN,) * dense, (self.channels,) * 2, self.channels)
        found = _parts(self.widths, {"trunk": 1, "chains": CHAIN * dense, "ups": 2, "high": 1})
        chains = tuple(found["chains"][start : start + CHAIN] for start in range(0, CHAIN * dense, CHAIN))
        return RrdbWidths(found["trunk"][0], chains, found["ups"], found["high"][0])

    def rows(self) -> Iterator[Row]:
        """Yield all layers, named as in BasicSR's state dict; a dense block is a row with five rows within."""
        trunk, chains, ups, high = self.parts
        yield Row("conv_first", "convolution", self.inputs * self.shrinks**2, trunk, part=4)
        chain: tuple[int, ...] = ()
        within: tuple[Row, ...] = ()
        for number, growths in enumerate(chains):
            if growths is not chain:  # equal blocks share their rows, and are counted once
                chain, within = growths, tuple(_dense(trunk, growths))
            name = f"body.{number // 3}.rdb{number % 3 + 1}"
            yield Row(name, "block", trunk, trunk, part=4, within=within)
        yield Row("conv_body", "convolution", trunk, trunk, part=4)
        for name, before, after, part in (("conv_up1", trunk, ups[0], 2), ("conv_up2", ups[0], ups[1], 1)):
            yield Row(name, "convolution", before, after, part=part, after=_LEAKY)
        yield Row("conv_hr", "convolution", ups[1], high, after=_LEAKY)
        yield Row("conv_last", "convolution", high, self.outputs)

    def writers(self) -> dict[str, str]:
        """Return row name, of a dense block's rows too, to its convolution, as the state dict names it."""
        names: dict[str, str] = {}
        for row in self.rows():
            inside = [f"{row.name}.{part.name}" for part in row.within]
            names |= {name: name for name in inside or [row.name]}
        return names

    def cut(self, outputs: Callable[[str], int]) -> dict[str, Any]:
        """Return the option `widths` of this generator after a cut; `outputs` gives each convolution's kept outputs."""
        places = [f"body.{block}.rdb{dense}" for block in range(self.blocks) for dense in (1, 2, 3)]
        chains = [outputs(f"{place}.conv{step}") for place in places for step in range(1, CHAIN + 1)]
        ups = [outputs("conv_up1"), outputs("conv_up2")]
        return {"trunk": [outputs("conv_first")], "chains": chains, "ups": ups, "high": [outputs("conv_hr")]}


def _dense(trunk: int, growths: Sequence[int]) -> Iterator[Row]:
    """Yield the convolutions of a dense block: each reads the block's input and all outputs before its own."""
    before = trunk
    for step, growth in enumerate(growths, start=1):
        yield Row(f"conv{step}", "convolution", before, growth, part=4, after=_LEAKY)
        before += growth
    yield Row(f"conv{len(growths) + 1}", "convolution", before, trunk, part=4)


@dataclass(frozen=True)
class SrvggOptions(EnlargingOptions):
    """The options of an SRVGGNetCompact.

    Attributes:
        scale: the factor by which height and width grow: 1, 2, 3 or 4.
        blocks: number of convolutions between the first and the last: 16 or 32 as published.
        widths: the channels of every convolution but the last in place of `channels`, as pruning leaves them: a mapping
            of convs, a list.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the widths are malformed.
    """

    blocks: Repeats = 16
    widths: object = None

    noun: ClassVar[str] = "SRVGGNetCompact"
    scales: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """The channels of every convolution but the last; raises RecipeError where `widths` is malformed."""
        if self.widths is None:
            return (self.channels,) * (self.blocks + 1)
        return _parts(self.widths, {"convs": self.blocks + 1})["convs"]

    def rows(self) -> Iterator[Row]:
        """Yield all layers, convolutions and PReLUs in turns, named as in BasicSR's state dict."""
        before = self.inputs
        for number, after in enumerate(self.parts):
            yield Row(f"body.{2 * number}", "convolution", before, after, part=self.scale)
            yield Row(f"body.{2 * number + 1}", "prelu", after, after, part=self.scale)
            before = after
        last = f"body.{2 * len(self.parts)}"
        yield Row(last, "convolution", before, self.outputs * self.scale**2, part=self.scale, after=("shuffle",))

    def writers(self) -> dict[str, str]:
        """Return row name to its convolution, as the state dict names it."""
        return {row.name: row.name for row in self.rows() if row.kind == "convolution"}

    def cut(self, outputs: Callable[[str], int]) -> dict[str, Any]:
        """Return the option `widths` of this generator after a cut; `outputs` gives each convolution's kept outputs."""
        return {"convs": [outputs(f"body.{2 * number}") for number in range(len(self.parts))]}
