"""What the ResNet generator and its mobile form cost, in closed form, at every channel configuration. No torch."""

from collections.abc import Callable
from typing import Any

from slimgen.cost.formula import (
    Cost,
    convolution,
    depthwise,
    instance_norm,
    total,
    transposed,
    widest,
)
from slimgen.errors import SlimgenError
from slimgen.nets.channels import parse_config

_STRIDE = 4  # two halvings on the way down
Convolution = Callable[[Any, Any, int, int], Cost]
"""Input channels, output channels, height and width to the cost of one convolution of a residual block."""


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

    Raises:
        SlimgenError: the network cannot take images of this size.
        RecipeError: the configuration is malformed.
    """
    widths = (ngf,) * 8 if config is None else parse_config(config)
    return configured_cost(dense, widths, height, width, blocks=blocks, inputs=inputs, outputs=outputs)


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
) -> Cost:
    """The cost of `MobileResnetGenerator` in closed form; as `resnet_cost`."""
    widths = (ngf,) * 8 if config is None else parse_config(config)
    return configured_cost(separable, widths, height, width, blocks=blocks, inputs=inputs, outputs=outputs)


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
    width = height if width is None else width
    check_size(height, width)
    half, quarter = (height // 2, width // 2), (height // 4, width // 4)
    stem, down, trunk, up1, up2 = config[0], 2 * config[1], 4 * config[2], 2 * config[6], config[7]
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
    for third in range(3):
        inner, count = 4 * config[3 + third], thirds(blocks).count(third)
        into = block(trunk, inner, *quarter).plus(instance_norm(inner, *quarter))
        back = block(inner, trunk, *quarter).plus(instance_norm(trunk, *quarter))
        parts.append(into.plus(back).times(count))
    return total(parts)


def narrowed_ngf(
    limit_macs: int,
    convention: str,
    height: int,
    width: int | None = None,
    *,
    blocks: int = 9,
    inputs: int = 3,
    outputs: int = 3,
) -> int:
    """The largest `ngf` whose ResNet generator stays within a MAC limit: the uniformly narrowed rival of a search.

    Raises:
        BudgetError: even `ngf` 1 is above the limit.
        SlimgenError: the network cannot take images of this size, or the convention is not known.
    """

    def cost_of(ngf: int) -> Cost:
        return resnet_cost(height, width, ngf=ngf, blocks=blocks, inputs=inputs, outputs=outputs)

    return widest(cost_of, limit_macs, convention)
