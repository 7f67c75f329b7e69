"""What a generator of the trellis costs, in closed form and microseconds. No torch."""

from collections.abc import Mapping
from functools import cache

from slimgen.cost.formula import Cost, convolution, instance_norm, total
from slimgen.nets.cf_gan.space import Shape, parse_path
from slimgen.search.genotype import Value

# Layers repeat between the candidates of a search, so each distinct one is worked out once.


@cache
def operator_cost(name: str, trunk: int, inner: int, height: int, width: int) -> Cost:
    """What an operator costs on one image of its own resolution."""
    if name == "conv3x3":
        return conv_norm_cost(trunk, trunk, 3, height, width)
    if name == "resblock":
        enter, leave = (conv_norm_cost(*widths, 3, height, width) for widths in ((trunk, inner), (inner, trunk)))
        return enter.plus(leave)
    enter, leave = (conv_norm_cost(*widths, 1, height, width) for widths in ((trunk, inner), (inner, trunk)))
    return enter.plus(conv_norm_cost(inner, inner, 3, height, width, groups=inner), leave)


@cache
def conv_norm_cost(inputs: int, outputs: int, kernel: int, height: int, width: int, groups: int = 1) -> Cost:
    """What a ConvNorm costs on one image, at its output's height and width."""
    conv = convolution(inputs, outputs, kernel, height, width, groups=groups, bias=False)
    return conv.plus(instance_norm(outputs, height, width, affine=True))


@cache
def climb_cost(before: int, trunk: int, stem: int, height: int, width: int) -> Cost:
    """What a climb into a group costs, at the height and width it climbs to."""
    return conv_norm_cost(before, trunk, 3, height, width).plus(convolution(stem, trunk, 1, height, width))


@cache
def ends_cost(output: int, ends: tuple[int, int], stem: int, inputs: int, outputs: int, size: tuple[int, int]) -> Cost:
    """What the stem's and the end module's convolutions cost, without the joins."""
    height, width = size
    return total(
        (
            conv_norm_cost(inputs, stem, 7, height, width),
            conv_norm_cost(output, ends[0], 3, height // 2, width // 2),
            conv_norm_cost(ends[0], ends[1], 3, height, width),
            convolution(ends[1], outputs, 7, height, width),
        )
    )


def trellis_cost(shape: Shape, genotype: Mapping[str, Value], height: int, width: int) -> Cost:
    """What the generator of a genotype costs on one image (inputs, height, width), both multiples of 4."""
    path = parse_path(str(genotype["path"]))
    wide = shape.channels
    stem, down = wide(genotype["channel.stem"], 1), wide(genotype["channel.down"], 2)
    trunk = wide(genotype["channel.g0"], 4)
    ends = {2: wide(genotype["channel.end2"], 2), 1: wide(genotype["channel.end1"], 1)}
    terms = [
        conv_norm_cost(stem, down, 3, height // 2, width // 2),
        conv_norm_cost(down, trunk, 3, height // 4, width // 4),
    ]
    trunks = {}
    for group, scale in enumerate(path):
        rows, columns = height // scale, width // scale
        if group and path[group - 1] != scale:
            before, trunk = trunk, wide(genotype[f"channel.g{group}"], scale)
            terms.append(climb_cost(before, trunk, stem if scale == 1 else down, rows, columns))
        trunks[scale] = trunk
        for block in range(shape.blocks):
            name = f"g{group}b{block}"
            inner = wide(genotype[f"channel.{name}"], scale)
            terms.append(operator_cost(str(genotype[f"operator.{name}"]), trunk, inner, rows, columns))
    terms += [
        convolution(trunks[scale], ends[scale], 1, height // scale, width // scale) for scale in ends if scale in trunks
    ]
    terms.append(ends_cost(trunks[4], (ends[2], ends[1]), stem, shape.inputs, shape.outputs, (height, width)))
    return total(terms)
