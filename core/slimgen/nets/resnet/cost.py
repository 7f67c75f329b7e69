"""What the ResNet generator and its mobile form cost, in closed form, at every channel configuration. No torch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from slimgen.cost.formula import (
    Cost,
    convolution,
    depthwise,
    instance_norm,
    total,
    transposed,
)
from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets.resnet.channels import parse_config

_STRIDE = 4  # two halvings on the way down
Convolution = Callable[[Any, Any, int, int], Cost]
"""Input channels, output channels, height and width to the cost of one convolution of a residual block."""


class Widths(NamedTuple):
    """The channels of every part of a ResNet generator; those of its blocks may all differ.

    Attributes:
        stem: at full size.
        down1: after the first halving.
        trunk: after the second, and between the residual blocks.
        blocks: inside of each residual block.
        up1: after the first doubling.
        up2: after the second.
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
        inner = tuple(each[third] for third in thirds(blocks))
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

    def to_json(self) -> dict[str, Any]:
        """The inverse of `parse`."""
        return {**self._asdict(), "blocks": list(self.blocks)}


def resnet_widths(ngf: int, blocks: int, config: object = None, widths: object = None) -> Widths:
    """The widths that the options of a ResNet generator stand for.

    Raises:
        RecipeError: both `config` and `widths` are given, or one of them is malformed.
    """
    if widths is None:
        return Widths.of((ngf,) * 8 if config is None else parse_config(config), blocks)
    if config is not None:
        raise RecipeError("a ResNet generator takes config or widths", "both", "leave one of them out")
    return Widths.parse(widths, blocks)


def check_size(height: int, width: int) -> None:
    """Raises SlimgenError unless a ResNet generator can take images of this size."""
    if height % _STRIDE or width % _STRIDE or min(height, width) < 2 * _STRIDE:
        raise SlimgenError(
            f"the ResNet generator needs sides that are multiples of {_STRIDE}, {2 * _STRIDE} pixels at the least",
            f"{height} x {width}",
            "choose another size in the recipe",
        )


def thirds(blocks: int) -> list[int]:
    """For each residual block, which of c3, c4 and c5 it takes: 0, 1 or 2."""
    return [3 * block // blocks for block in range(blocks)]


def dense(inputs: int, outputs: int, height: int, width: int) -> Cost:
    """A 3x3 convolution."""
    return convolution(inputs, outputs, 3, height, width)


def separable(inputs: int, outputs: int, height: int, width: int) -> Cost:
    """A depthwise 3x3 convolution, InstanceNorm, and a pointwise convolution."""
    spatial = depthwise(inputs, 3, height, width).plus(instance_norm(inputs, height, width))
    return spatial.plus(convolution(inputs, outputs, 1, height, width))


def resnet_cost(
    height: int,
    width: int | None = None,
    *,
    ngf: int = 64,
    blocks: int = 9,
    inputs: int = 3,
    outputs: int = 3,
    dropout: float = 0.0,
    config: object = None,
    widths: object = None,
) -> Cost:
    """The cost of `ResnetGenerator` in closed form.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        ngf: width of the stem.
        blocks: residual blocks.
        inputs: channels of the input.
        outputs: channels of the output.
        dropout: free; taken so that the options of the network are the options of its cost.
        config: a channel configuration in place of `ngf` everywhere.
        widths: of every part, in place of both: a mapping as `Widths.parse` takes it.

    Raises:
        SlimgenError: the network cannot take images of this size.
        RecipeError: the configuration or the widths are malformed.
    """
    return _cost(dense, resnet_widths(ngf, blocks, config, widths), height, width, inputs, outputs)


def mobile_resnet_cost(
    height: int,
    width: int | None = None,
    *,
    ngf: int = 64,
    blocks: int = 9,
    inputs: int = 3,
    outputs: int = 3,
    dropout: float = 0.0,
    config: object = None,
    widths: object = None,
) -> Cost:
    """The cost of `MobileResnetGenerator` in closed form; as `resnet_cost`."""
    return _cost(separable, resnet_widths(ngf, blocks, config, widths), height, width, inputs, outputs)


def configured_cost(
    block: Convolution,
    config: Any,
    height: int,
    width: int | None = None,
    *,
    blocks: int = 9,
    inputs: int = 3,
    outputs: int = 3,
) -> Cost:
    """The cost at a channel configuration.

    Args:
        block: `dense` or `separable`: the convolutions of the residual blocks.
        config: c0 .. c7, as whole numbers; or as eight integer arrays of one shape, which gives a Cost of arrays, so
            that millions of configurations are counted at once.
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        blocks: residual blocks.
        inputs: channels of the input.
        outputs: channels of the output.

    Raises:
        SlimgenError: the network cannot take images of this size.
    """
    return _cost(block, Widths.of(config, blocks), height, width, inputs, outputs)


def _cost(block: Convolution, widths: Widths, height: int, width: int | None, inputs: int, outputs: int) -> Cost:
    width = height if width is None else width
    check_size(height, width)
    half, quarter = (height // 2, width // 2), (height // 4, width // 4)
    stem, down, trunk, inside, up1, up2 = widths
    parts = [
        convolution(inputs, stem, 7, height, width),
        instance_norm(stem, height, width),
        convolution(stem, down, 3, *half),
        instance_norm(down, *half),
        convolution(down, trunk, 3, *quarter),
        instance_norm(trunk, *quarter),
        transposed(trunk, up1, 3, *quarter, *half),
        instance_norm(up1, *half),
        transposed(up1, up2, 3, *half, height, width),
        instance_norm(up2, height, width),
        convolution(up2, outputs, 7, height, width),
    ]
    for inner, repeats in _runs(inside):
        into = block(trunk, inner, *quarter).plus(instance_norm(inner, *quarter))
        back = block(inner, trunk, *quarter).plus(instance_norm(trunk, *quarter))
        parts.append(into.plus(back).times(repeats))
    return total(parts)


def _runs(inside: Sequence[Any]) -> list[tuple[Any, int]]:
    """Blocks of the very same width one after the other, and how many: arrays of millions are counted once."""
    found: list[tuple[Any, int]] = []
    for inner in inside:
        same = bool(found) and (found[-1][0] is inner or (isinstance(inner, int) and found[-1][0] == inner))
        found[-1:] = [(inner, found[-1][1] + 1)] if same else [*found[-1:], (inner, 1)]
    return found
