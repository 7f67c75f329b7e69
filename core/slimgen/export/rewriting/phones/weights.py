"""Transposed convolutions without padding, norms and numbers around convolutions, in forms that phones take."""

from typing import TYPE_CHECKING

import numpy

from slimgen.export.rewriting.draft import Draft, attributes, node
from slimgen.export.rewriting.phones.pads import sliced

if TYPE_CHECKING:
    from onnx import NodeProto


def cropped(draft: Draft) -> None:
    """Replace transposed convolutions by ones without padding and output padding, whose result is cropped.

    The padding of a transposed convolution takes pixels off its result, and the output padding takes fewer off the far
    side. Where that asks for pixels beyond the result, the kernel gets zeros there.
    """
    nodes: list[NodeProto] = []
    for one in draft.nodes:
        nodes += _cropped(draft, one) if one.op_type == "ConvTranspose" else [one]
    draft.nodes = nodes


def _cropped(draft: Draft, conv: "NodeProto") -> list["NodeProto"]:
    weights, found = draft.array(conv.input[1]), attributes(conv)
    sides = draft.shapes.get(conv.input[0], ())[2:]
    plain = found.get("auto_pad", b"NOTSET") == b"NOTSET" and "output_shape" not in found
    if weights is None or weights.ndim != 4 or len(sides) != 2 or not plain:
        return [conv]
    kernel, steps, spread = weights.shape[2:], found.get("strides", [1, 1]), found.get("dilations", [1, 1])
    pads, more = found.get("pads", [0] * 4), found.get("output_padding", [0, 0])
    ends, lacking, cut = {}, [], False
    for at in (0, 1):
        whole = (int(sides[at]) - 1) * steps[at] + spread[at] * (kernel[at] - 1) + 1
        first, end = pads[at], whole - pads[at + 2] + more[at]
        lacking.append(-(-max(end - whole, 0) // spread[at]))  # in taps
        ends[at + 2] = first, end
        cut |= (first, end) != (0, whole + lacking[at] * spread[at])
    name, made, entering = conv.input[1], conv.output[0], list(conv.input)
    if any(lacking):
        weights = numpy.pad(weights, ((0, 0), (0, 0), (0, lacking[0]), (0, lacking[1])))
        entering[1] = draft.constant(f"{name}.{lacking[0]}.{lacking[1]}", weights)
    window = {"kernel_shape": weights.shape[2:], "strides": steps, "pads": [0] * 4, "dilations": spread}
    whole_name = f"{made}.whole" if cut else made
    whole_node = node("ConvTranspose", entering, whole_name, group=found.get("group", 1), **window)
    return [whole_node, sliced(draft, whole_name, made, ends)] if cut else [whole_node]


def scaled(draft: Draft) -> None:
    """Replace batch norms of images by a product and a sum with constants of each channel."""
    nodes: list[NodeProto] = []
    for one in draft.nodes:
        nodes += _scaled(draft, one) if one.op_type == "BatchNormalization" else [one]
    draft.nodes = nodes


def _scaled(draft: Draft, norm: "NodeProto") -> list["NodeProto"]:
    constants = [draft.array(name) for name in norm.input[1:]]
    scale, bias, mean, variance = constants
    if scale is None or bias is None or mean is None or variance is None or len(norm.output) > 1:
        return [norm]
    exact = [value.astype(numpy.float64) for value in (scale, bias, mean, variance)]
    times = exact[0] / numpy.sqrt(exact[3] + attributes(norm).get("epsilon", 1e-5))
    shape, made = (1, -1, *(1 for _ in draft.shapes[norm.input[0]][2:])), norm.output[0]
    factor = draft.constant(f"{made}.factor", times.astype(scale.dtype).reshape(shape))
    added = draft.constant(f"{made}.added", (exact[1] - exact[2] * times).astype(scale.dtype).reshape(shape))
    return [
        node("Mul", [norm.input[0], factor], f"{made}.scaled"),
        node("Add", [f"{made}.scaled", added], made),
    ]


def absorbed(draft: Draft) -> None:
    """Add single numbers that are added to the result of a convolution to its bias.

    Quantizers take a sum after a convolution for its bias, and expect one number for each channel.
    """
    makers, readers = draft.makers(), draft.readers()
    nodes = list(draft.nodes)
    for one in draft.nodes:
        if one.op_type != "Add":
            continue
        numbers = [name for name in one.input if (value := draft.array(name)) is not None and value.size == 1]
        conv = makers.get(next((name for name in one.input if name not in numbers), ""))
        if conv is None or conv.op_type != "Conv" or len(numbers) != 1 or readers[conv.output[0]] > 1:
            continue
        number, weights = draft.array(numbers[0]), draft.array(conv.input[1])
        biases = [draft.array(name) for name in conv.input[2:]]
        if number is None or weights is None or number.ndim > weights.ndim or any(bias is None for bias in biases):
            continue
        bias = numpy.zeros(len(weights), weights.dtype) if not biases else biases[0]
        changed = type(conv)()
        changed.CopyFrom(conv)
        changed.input[:] = [*conv.input[:2], draft.constant(f"{one.output[0]}.bias", bias + number.reshape(-1))]
        changed.output[0] = one.output[0]
        nodes[nodes.index(conv)] = changed
        nodes.remove(one)
    draft.nodes = nodes


def rounded(draft: Draft) -> None:
    """Take out of pooling what has no effect: rounding up sizes that are whole, and counting padding of no pixels."""
    for one in draft.nodes:
        found, sides = attributes(one), draft.shapes.get(next(iter(one.input), ""), ())[2:]
        if one.op_type not in ("AveragePool", "MaxPool") or len(sides) != 2:
            continue
        kernel, steps, pads = found["kernel_shape"], found.get("strides", [1, 1]), found.get("pads", [0] * 4)
        spread, idle = found.get("dilations", [1, 1]), set()
        left = [
            (int(sides[at]) + pads[at] + pads[at + 2] - spread[at] * (kernel[at] - 1) - 1) % steps[at] for at in (0, 1)
        ]
        idle |= {"ceil_mode"} if not any(left) else set()
        idle |= {"count_include_pad"} if not any(pads) and not any(left) else set()
        kept = [attribute for attribute in one.attribute if attribute.name not in idle]
        del one.attribute[:]
        one.attribute.extend(kept)
