"""What AlphaGAN's generator costs, in closed form and microseconds. No torch."""

from collections.abc import Mapping
from functools import cache

from slimgen.cost.formula import Cost, batch_norm, convolution, depthwise, linear, total, transposed
from slimgen.nets.alphagan.space import (
    CELLS,
    bottom,
    check_interpolation,
    check_sizes,
    checked,
    normal_edges,
    skip_edges,
    up_edges,
)
from slimgen.search.genotype import Value


@cache
def normal_cost(operation: str, channels: int, side: int) -> Cost:
    """What a normal operation costs on features of `side` x `side`."""
    kernel = int(operation[-1])
    if operation.startswith("conv"):
        return convolution(channels, channels, kernel, side, side)
    deep = depthwise(channels, kernel, side, side, bias=False)
    return deep.plus(convolution(channels, channels, 1, side, side, bias=False), batch_norm(channels)).times(2)


@cache
def up_cost(operation: str, channels: int, side: int, factor: int, interpolation: str) -> Cost:
    """What an up operation costs that enlarges features of `side` x `side`."""
    if operation != "deconv":
        # A 1x1 convolution and an interpolation may change places, so it runs where there are fewer pixels.
        return convolution(channels, channels, 1, side, side, bias=False) if interpolation == "learned" else Cost()
    steps = []
    while factor > 1:
        steps.append(transposed(channels, channels, 2, side, side, 2 * side, 2 * side))
        side, factor = 2 * side, factor // 2
    # One transposed convolution, applied again.
    return total(steps)._replace(params=steps[0].params)


@cache
def ends_cost(channels: int, latent: int, size: int) -> Cost:
    """What the first layer, from noise to features, and the last, from features to an image, cost."""
    entry = linear(latent, channels * bottom(size) ** 2)
    return entry.plus(batch_norm(channels), convolution(channels, 3, 3, size, size))


def alphagan_cost(
    height: int,
    width: int,
    *,
    genotype: Mapping[str, Value],
    channels: int = 256,
    latent: int = 128,
    size: int | None = None,
    interpolation: str = "plain",
) -> Cost:
    """The cost of `AlphaGenerator` for one image, in closed form.

    Args:
        height: of the image that it makes.
        width: equal to it.
        genotype: an operation for every edge of `alphagan_space.SPACE`.
        channels: of all features.
        latent: length of the noise.
        size: as of the network's option, equal to height and width.
        interpolation: `plain` or `learned`.

    Raises:
        SlimgenError: an option is out of range, or the size does not suit the network.
    """
    side = check_sizes(height, width, size)
    check_interpolation(interpolation)
    return genotype_cost(checked(genotype), side, channels, latent, interpolation)


def genotype_cost(genotype: Mapping[str, Value], side: int, channels: int, latent: int, interpolation: str) -> Cost:
    """As `alphagan_cost`, of arguments that were checked before."""
    costs = [ends_cost(channels, latent, side)]
    for cell in range(1, CELLS + 1):
        before = bottom(side) * 2 ** (cell - 1)
        costs += [normal_cost(str(genotype[name]), channels, 2 * before) for name in normal_edges(cell)]
        costs += [up_cost(str(genotype[name]), channels, before, 2, interpolation) for name in up_edges(cell)]
        for name, earlier in skip_edges(cell):
            node = bottom(side) * 2**earlier
            costs.append(up_cost(str(genotype[name]), channels, node, 2 ** (cell - earlier), interpolation))
    return total(costs)
