"""How each layer of a generator is written in ONNX: with the operators that torch's exporter would choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from torch import Tensor, nn

from slimgen.errors import ExportError

_SPATIAL = (2, 3)


@dataclass
class Graph:
    """The nodes and constants of a graph being written."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Appends a node; returns the name of its output."""
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: object) -> str:
        """Adds a tensor, array or number (float32 unless it is an array of integers); returns its name."""
        from onnx import numpy_helper

        plain = value.detach().cpu().float().numpy() if isinstance(value, Tensor) else numpy.asarray(value)
        whole = isinstance(value, numpy.ndarray) and value.dtype == numpy.int64
        plain = plain if whole else plain.astype(numpy.float32)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(plain), name))
        return name


def _operand(graph: Graph, value: str | float) -> str:
    return value if isinstance(value, str) else graph.constant(value)


def _binary(kind: str) -> Callable[..., str]:
    def write(graph: Graph, a: str | float, b: str | float) -> str:
        return graph.add(kind, _operand(graph, a), _operand(graph, b))

    return write


def _unary(kind: str) -> Callable[..., str]:
    """An activation, called as a function or as a module without options."""

    def write(graph: Graph, *given: object, inplace: bool = False) -> str:
        return graph.add(kind, next(str(value) for value in given if isinstance(value, str)))

    return write


def _pad(graph: Graph, x: str, sides: Sequence[int], mode: str = "constant", value: float | None = None) -> str:
    """Pads by (left, right, top, bottom), as `functional.pad` does."""
    left, right, top, bottom = sides
    pads = graph.constant(numpy.array([0, 0, top, left, 0, 0, bottom, right], numpy.int64))
    kinds = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in kinds or value:
        raise ExportError(f"a padding to be timed is one of {', '.join(kinds)}, with zeros", f"{mode} of {value}")
    return graph.add("Pad", x, pads, mode=kinds[mode])


def _conv(graph: Graph, layer: nn.Conv2d | nn.ConvTranspose2d, x: str) -> str:
    if isinstance(layer.padding, str):
        raise ExportError("a convolution to be timed has its padding in pixels", layer.padding)
    top, left = layer.padding
    if layer.padding_mode != "zeros":
        x, top, left = _pad(graph, x, (left, left, top, top), layer.padding_mode), 0, 0
    inputs = [x, graph.constant(layer.weight), *([] if layer.bias is None else [graph.constant(layer.bias)])]
    window: dict[str, Any] = {
        "kernel_shape": list(layer.kernel_size),
        "strides": list(layer.stride),
        "dilations": list(layer.dilation),
        "pads": [top, left, top, left],
        "group": layer.groups,
    }
    if isinstance(layer, nn.Conv2d):
        return graph.add("Conv", *inputs, **window)
    return graph.add("ConvTranspose", *inputs, output_padding=list(layer.output_padding), **window)


def _norm(graph: Graph, layer: nn.InstanceNorm2d | nn.BatchNorm2d, x: str) -> str:
    running, batch = (layer.running_mean, layer.running_var), isinstance(layer, nn.BatchNorm2d)
    if batch == any(value is None for value in running):
        rule = "a BatchNorm to be timed has running statistics, and an InstanceNorm has none"
        raise ExportError(rule, layer)
    blanks = numpy.ones(layer.num_features), numpy.zeros(layer.num_features)
    affine = [
        graph.constant(blank if value is None else value)
        for value, blank in zip((layer.weight, layer.bias), blanks, strict=True)
    ]
    if not batch:
        return graph.add("InstanceNormalization", x, *affine, epsilon=layer.eps)
    return graph.add("BatchNormalization", x, *affine, *map(graph.constant, running), epsilon=layer.eps)


def _enlarge(
    graph: Graph,
    x: str,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> str:
    """Nearest or bilinear enlarging, as `functional.interpolate` does it."""
    if mode not in ("nearest", "bilinear") or align_corners or antialias:
        raise ExportError("an enlarging to be timed is nearest, or bilinear without aligned corners", mode)
    kind: dict[str, Any] = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    if mode == "bilinear":
        kind = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if size is not None:
        sizes = numpy.array([size] * 2 if isinstance(size, int) else size, numpy.int64)
        return graph.add("Resize", x, "", "", graph.constant(sizes), axes=_SPATIAL, **kind)
    factors = [scale_factor] * 2 if isinstance(scale_factor, int | float) else list(scale_factor or ())
    return graph.add("Resize", x, "", graph.constant([1.0, 1.0, *factors]), **kind)


def _leaky(graph: Graph, x: str, negative_slope: float = 0.01, inplace: bool = False) -> str:
    return graph.add("LeakyRelu", x, alpha=negative_slope)


MODULES: dict[type[nn.Module], Callable[..., str]] = {
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv,
    nn.InstanceNorm2d: _norm,
    nn.BatchNorm2d: _norm,
    nn.ReflectionPad2d: lambda graph, layer, x: _pad(graph, x, layer.padding, "reflect"),
    nn.ZeroPad2d: lambda graph, layer, x: _pad(graph, x, layer.padding),
    nn.LeakyReLU: lambda graph, layer, x: _leaky(graph, x, layer.negative_slope),
    nn.Upsample: lambda graph, layer, x: _enlarge(graph, x, layer.size, layer.scale_factor, layer.mode),
    nn.ReLU: _unary("Relu"),
    nn.Tanh: _unary("Tanh"),
    nn.Sigmoid: _unary("Sigmoid"),
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), lambda graph, layer, x: x),
}
"""A layer to what writes it: the graph, the layer and the name of its input in, the name of its output out."""

FUNCTIONS: dict[str, Callable[..., str]] = {
    "add": _binary("Add"),
    "iadd": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "truediv": _binary("Div"),
    "relu": _unary("Relu"),
    "tanh": _unary("Tanh"),
    "sigmoid": _unary("Sigmoid"),
    "leaky_relu": _leaky,
    "pad": _pad,
    "interpolate": _enlarge,
    "cat": lambda graph, parts, dim=0: graph.add("Concat", *parts, axis=dim),
}
"""A function or method, by its name without underscores (those say in place), to what writes it."""
