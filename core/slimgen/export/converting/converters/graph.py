"""An ONNX graph as a PyTorch module, for converters that start from PyTorch.

Only what `slimgen.export.rewriting.phones` leaves in a graph, and a few operators of users' own networks. Weights are
buffers, and everything else is known when the module is built, so that `torch.export` sees plain operators alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

Given = Mapping[str, Any]
"""Attributes of a node."""


class Graph(nn.Module):
    """A graph of one input and one output.

    Args:
        path: the file.
        norms: whether instance norms stay whole; else they are means, which more runtimes take in the layout of the
            convolutions around them.

    Raises:
        NotImplementedError: an operator is not known here.
    """

    def __init__(self, path: str, *, norms: bool = False) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        self.entering, self.leaving = graph.input[0].name, graph.output[0].name
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.known: dict[str, Any] = {"": None}
        self.weights: dict[str, str] = {}
        for name, value in constants.items():
            if value.dtype == "float32" and value.size:
                self.weights[name] = f"weight_{len(self.weights)}"
                self.register_buffer(self.weights[name], torch.from_numpy(value.copy()))
            else:
                self.known[name] = value.tolist()
        kinds: dict[str, Operator] = OPERATORS | ({"InstanceNormalization": _instance_norm} if norms else {})
        if missing := sorted({node.op_type for node in graph.node} - kinds.keys()):
            raise NotImplementedError(f"this converter does not know the ONNX operator {', '.join(missing)}")
        self.nodes = []
        for node in graph.node:
            given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Resize" and node.input[2]:
                given["factors"] = constants[node.input[2]].tolist()
            self.nodes.append((kinds[node.op_type], given, list(node.input), node.output[0]))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - which is the input's name in the converted file
        """Return the graph's output."""
        values: dict[str, Any] = {**self.known, self.entering: input}
        values |= {name: getattr(self, buffer) for name, buffer in self.weights.items()}
        for operator, given, entering, leaving in self.nodes:
            values[leaving] = operator(given, *(values[name] for name in entering))
        output: Tensor = values[self.leaving]
        return output


def _around(given: Given, images: Tensor) -> tuple[Tensor, list[int]]:
    """Return images with the part of the padding that differs between the sides, and the rest of it."""
    pads = list(given.get("pads", [0] * 4))
    half = len(pads) // 2
    even = [min(pads[at], pads[at + half]) for at in range(half)]
    more = [(pads[at] - even[at], pads[at + half] - even[at]) for at in reversed(range(half))]
    return (functional.pad(images, [one for pair in more for one in pair]) if any(map(any, more)) else images), even


def _conv(given: Given, images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    images, even = _around(given, images)
    call = functional.conv1d if weight.dim() == 3 else functional.conv2d
    rank = weight.dim() - 2
    steps, spread = given.get("strides", [1] * rank), given.get("dilations", [1] * rank)
    return call(images, weight, bias, steps, even, spread, given.get("group", 1))


def _transposed(given: Given, images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if any(given.get("pads", [])) or any(given.get("output_padding", [])):
        raise NotImplementedError("a transposed convolution for phones has no padding")
    steps, spread = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    return functional.conv_transpose2d(images, weight, bias, steps, 0, 0, given.get("group", 1), spread)


def _instance_norm(given: Given, images: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(images, weight=scale, bias=bias, eps=given.get("epsilon", 1e-5))


def _means(given: Given, images: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    sides, shape = (2, 3), (1, -1, 1, 1)
    centred = images - images.mean(sides, keepdim=True)
    variance = (centred * centred).mean(sides, keepdim=True)
    return centred * torch.rsqrt(variance + given.get("epsilon", 1e-5)) * scale.reshape(shape) + bias.reshape(shape)


def _batch_norm(given: Given, images: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(images, mean, variance, scale, bias, eps=given.get("epsilon", 1e-5))


def _slice(
    given: Given,
    images: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None = None,
    steps: list[int] | None = None,
) -> Tensor:
    for at, (first, end) in enumerate(zip(starts, ends, strict=True)):
        axis = at if axes is None else axes[at] % images.dim()
        part = slice(first, end, 1 if steps is None else steps[at])
        images = images[(slice(None),) * axis + (part,)]
    return images


def _resize(given: Given, images: Tensor, region: object, scales: object, sizes: list[int] | None = None) -> Tensor:
    factors = given.get("factors", [])[2:]
    size = sizes[2:] if sizes else [int(side * by) for side, by in zip(images.shape[2:], factors, strict=True)]
    mode, places = given.get("mode", b"nearest"), given.get("coordinate_transformation_mode", b"half_pixel")
    if (mode, places) == (b"nearest", b"asymmetric"):
        return functional.interpolate(images, size=size, mode="nearest")
    if mode == b"linear" and places in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
        return functional.interpolate(images, size=size, mode="bilinear", align_corners=places == b"align_corners")
    raise NotImplementedError(f"this converter does not know resizing that is {mode.decode()}, {places.decode()}")


def _depth_to_space(given: Given, images: Tensor) -> Tensor:
    block = given["blocksize"]
    if given.get("mode", b"DCR") == b"CRD":
        return functional.pixel_shuffle(images, block)
    count, channels, height, width = images.shape
    whole = images.reshape(count, block**2, channels // block**2, height, width).transpose(1, 2)
    return functional.pixel_shuffle(whole.reshape(count, channels, height, width), block)


def _gemm(given: Given, rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if given.get("alpha", 1) != 1 or given.get("beta", 1) != 1 or given.get("transA", 0):
        raise NotImplementedError("this converter does not know scaled matrix products")
    return functional.linear(rows, weight if given.get("transB", 0) else weight.T, bias)


def _reshape(given: Given, value: Tensor, shape: list[int]) -> Tensor:
    return value.reshape([value.shape[at] if side == 0 else side for at, side in enumerate(shape)])


def _even(given: Given) -> list[int]:
    pads = list(given.get("pads", [0] * 4))
    if pads[:2] != pads[2:] or any(step != 1 for step in given.get("dilations", [])):
        raise NotImplementedError("this converter does not know pooling that is padded unevenly or spread")
    return pads[:2]


def _max_pool(given: Given, images: Tensor) -> Tensor:
    up = bool(given.get("ceil_mode", 0))
    steps = given.get("strides", [1, 1])
    return functional.max_pool2d(images, given["kernel_shape"], steps, _even(given), ceil_mode=up)


def _average_pool(given: Given, images: Tensor) -> Tensor:
    up, counted = bool(given.get("ceil_mode", 0)), bool(given.get("count_include_pad", 0))
    steps = given.get("strides", [1, 1])
    return functional.avg_pool2d(images, given["kernel_shape"], steps, _even(given), up, counted)


def _reduced(given: Given, value: Tensor, axes: list[int] | None = None) -> Tensor:
    chosen = axes or given.get("axes") or list(range(value.dim()))
    return value.mean(tuple(chosen), keepdim=bool(given.get("keepdims", 1)))


Operator = Callable[..., Any]
"""Function of a node's attributes and inputs."""
OPERATORS: dict[str, Operator] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": lambda given, one, other: one @ other,
    "InstanceNormalization": _means,
    "BatchNormalization": _batch_norm,
    "Slice": _slice,
    "Concat": lambda given, *parts: torch.cat(parts, given["axis"]),
    "Resize": _resize,
    "DepthToSpace": _depth_to_space,
    "Reshape": _reshape,
    "Flatten": lambda given, value: value.flatten(given.get("axis", 1)),
    "Transpose": lambda given, value: value.permute(given["perm"]),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda given, images: images.mean((2, 3), keepdim=True),
    "ReduceMean": _reduced,
    "Add": lambda given, one, other: one + other,
    "Sub": lambda given, one, other: one - other,
    "Mul": lambda given, one, other: one * other,
    "Div": lambda given, one, other: one / other,
    "Relu": lambda given, value: functional.relu(value),
    "LeakyRelu": lambda given, value: functional.leaky_relu(value, given.get("alpha", 0.01)),
    "PRelu": lambda given, value, slope: functional.prelu(value, slope.reshape(-1)),
    "Elu": lambda given, value: functional.elu(value, given.get("alpha", 1.0)),
    "Sigmoid": lambda given, value: torch.sigmoid(value),
    "HardSigmoid": lambda given, value: (value * given.get("alpha", 0.2) + given.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda given, value: functional.hardswish(value),
    "Gelu": lambda given, value: functional.gelu(value, approximate=given.get("approximate", b"none").decode()),
    "Softmax": lambda given, value: value.softmax(given.get("axis", -1)),
    "Tanh": lambda given, value: torch.tanh(value),
    "Sqrt": lambda given, value: torch.sqrt(value),
    "Exp": lambda given, value: torch.exp(value),
    "Abs": lambda given, value: torch.abs(value),
    "Neg": lambda given, value: -value,
    "Identity": lambda given, value: value,
}
"""Operators by their ONNX names."""
