"""Transposed convolutions without padding, and batch norms without a convolution, in forms that phones take."""

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
