"""ONNX graph of a piece of a network, written layer by layer in milliseconds, so that hundreds can be timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy
from torch import Tensor, fx, nn

from slimgen.errors import ExportError
from slimgen.export.rewriting import rewritten


@dataclass
class Graph:
    """The nodes and constants of a graph being written."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Append a node and return the name of its output."""
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: object) -> str:
        """Add a tensor, array or number (float32 unless it is an array of integers) and return its name."""
        from onnx import numpy_helper

        plain = value.detach().cpu().float().numpy() if isinstance(value, Tensor) else numpy.asarray(value)
        whole = isinstance(value, numpy.ndarray) and value.dtype == numpy.int64
        plain = plain if whole else plain.astype(numpy.float32)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(plain), name))
        return name


def _binary(kind: str) -> Callable[..., str]:
    def write(graph: Graph, a: str | float, b: str | float) -> str:
        return graph.add(kind, *(value if isinstance(value, str) else graph.constant(value) for value in (a, b)))

    return write


def _unary(kind: str) -> Callable[..., str]:
    """Add an activation, called as a function or as a module without options."""

    def write(graph: Graph, *given: object, inplace: bool = False) -> str:
        return graph.add(kind, next(str(value) for value in given if isinstance(value, str)))

    return write


def _pad(graph: Graph, x: str, sides: Sequence[int], mode: str = "constant", value: float | None = None) -> str:
    """Add padding by (left, right, top, bottom), as in `functional.pad`."""
    left, right, top, bottom = sides
    pads = graph.constant(numpy.array([0, 0, top, left, 0, 0, bottom, right], numpy.int64))
    kinds = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in kinds or value:
        raise ExportError(f"to be timed, a padding must be one of {', '.join(kinds)}, with zeros", f"{mode} of {value}")
    return graph.add("Pad", x, pads, mode=kinds[mode])


def _conv(graph: Graph, layer: nn.Conv2d | nn.ConvTranspose2d, x: str) -> str:
    if isinstance(layer.padding, str):
        raise ExportError("to be timed, a convolution must have its padding in pixels", layer.padding)
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
        raise ExportError("to be timed, a BatchNorm must have running statistics, and an InstanceNorm none", layer)
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
    size: str | int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> str:
    """Add nearest, bilinear or bicubic upsampling, as in `functional.interpolate`; a size may be a tensor's name."""
    if mode not in ("nearest", "bilinear", "bicubic") or align_corners or antialias:
        rule = "to be timed, an interpolation must be nearest, or bilinear or bicubic without aligned corners"
        raise ExportError(rule, mode)
    kind: dict[str, Any] = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    if mode == "bilinear":
        kind = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    elif mode == "bicubic":
        kind = {"mode": "cubic", "cubic_coeff_a": -0.75, "coordinate_transformation_mode": "half_pixel"}
    if isinstance(size, str):
        return graph.add("Resize", x, "", "", size, axes=(2, 3), **kind)
    if size is not None:
        sizes = numpy.array([size] * 2 if isinstance(size, int) else size, numpy.int64)
        return graph.add("Resize", x, "", "", graph.constant(sizes), axes=(2, 3), **kind)
    factors = [scale_factor] * 2 if isinstance(scale_factor, int | float) else list(scale_factor or ())
    return graph.add("Resize", x, "", graph.constant([1.0, 1.0, *factors]), **kind)


def _pool(graph: Graph, layer: nn.MaxPool2d | nn.AvgPool2d, x: str) -> str:
    if (layer.stride, layer.padding, layer.ceil_mode) != (layer.kernel_size, 0, False):
        raise ExportError("to be timed, a pool must have strides of its window's size, and no padding", layer)
    kind, sides = "MaxPool" if isinstance(layer, nn.MaxPool2d) else "AveragePool", [layer.kernel_size] * 2
    return graph.add(kind, x, kernel_shape=sides, strides=sides)


def _average(graph: Graph, x: str, kernel_size: int, ceil_mode: bool = False) -> str:
    sides = [kernel_size] * 2
    return graph.add("AveragePool", x, kernel_shape=sides, strides=sides, ceil_mode=int(ceil_mode))


def _read(graph: Graph, x: str, name: str) -> str:
    if name != "shape":
        raise ExportError("to be timed, a network must read nothing of its features but their shape", name)
    return graph.add("Shape", x)


def _item(graph: Graph, sizes: str, index: object) -> str:
    if index != slice(-2, None, None):
        raise ExportError("to be timed, a network must read height and width of a shape together", repr(index))
    ends = (numpy.array([end], numpy.int64) for end in (-2, numpy.iinfo(numpy.int64).max))
    return graph.add("Slice", sizes, *map(graph.constant, ends))


def _linear(graph: Graph, layer: nn.Linear, x: str) -> str:
    bias = [] if layer.bias is None else [graph.constant(layer.bias)]
    return graph.add("Gemm", x, graph.constant(layer.weight), *bias, transB=1)


def _unflatten(graph: Graph, layer: nn.Unflatten, x: str) -> str:
    sides = numpy.array([0] * int(layer.dim) + list(layer.unflattened_size), numpy.int64)  # 0 keeps a dimension
    return graph.add("Reshape", x, graph.constant(sides))


def _leaky(graph: Graph, x: str, negative_slope: float = 0.01, inplace: bool = False) -> str:
    return graph.add("LeakyRelu", x, alpha=negative_slope)


def _prelu(graph: Graph, layer: nn.PReLU, x: str) -> str:
    return graph.add("PRelu", x, graph.constant(layer.weight.reshape(-1, 1, 1)))


def _unshuffle(graph: Graph, layer: nn.PixelUnshuffle, x: str) -> str:
    """Add a pixel unshuffle; ONNX orders its channels by place first, PyTorch by input channel first."""
    side = layer.downscale_factor
    last = graph.add("Transpose", graph.add("SpaceToDepth", x, blocksize=side), perm=[0, 2, 3, 1])
    split = graph.add("Reshape", last, graph.constant(numpy.array([0, 0, 0, side**2, -1], numpy.int64)))
    turned = graph.add("Transpose", split, perm=[0, 1, 2, 4, 3])
    joined = graph.add("Reshape", turned, graph.constant(numpy.array([0, 0, 0, -1], numpy.int64)))
    return graph.add("Transpose", joined, perm=[0, 3, 1, 2])


MODULES: dict[type[nn.Module], Callable[..., str]] = {
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv,
    nn.InstanceNorm2d: _norm,
    nn.BatchNorm2d: _norm,
    nn.Linear: _linear,
    nn.Unflatten: _unflatten,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.ReflectionPad2d: lambda graph, layer, x: _pad(graph, x, layer.padding, "reflect"),
    nn.ZeroPad2d: lambda graph, layer, x: _pad(graph, x, layer.padding),
    nn.LeakyReLU: lambda graph, layer, x: _leaky(graph, x, layer.negative_slope),
    nn.PReLU: _prelu,
    nn.PixelShuffle: lambda graph, layer, x: graph.add("DepthToSpace", x, blocksize=layer.upscale_factor, mode="CRD"),
    nn.PixelUnshuffle: _unshuffle,
    nn.Upsample: lambda graph, layer, x: _enlarge(graph, x, layer.size, layer.scale_factor, layer.mode),
    nn.ReLU: _unary("Relu"),
    nn.Tanh: _unary("Tanh"),
    nn.Sigmoid: _unary("Sigmoid"),
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), lambda graph, layer, x: x),
}
"""Layer class to its writer: a function of graph, layer and input name that returns the output name."""

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
    "avg_pool2d": _average,
    "getattr": _read,
    "getitem": _item,
    "cat": lambda graph, parts, dim=0: graph.add("Concat", *parts, axis=dim),
}
"""Name of a function or method, without the underscores of in-place forms, to its writer."""


def onnx_graph(net: nn.Module, shape: Sequence[int]) -> bytes:
    """Return a network of one image or noise tensor, in evaluation mode and float32, as a serialised ONNX model.

    It supports convolutions (dense, grouped, transposed), linear layers, reflection and zero padding, InstanceNorm,
    BatchNorm, the activations of generators, pooling, pixel shuffles, nearest, bilinear and bicubic upsampling, sums,
    products and concatenations, as modules or as functions. Input and output are called `input` and `output`; the
    input's shape is fixed. The network, whose control flow must not depend on values, is not changed. The graph is
    rewritten like an exported one (`slimgen.export.rewriting`).

    Raises:
        ExportError: it cannot be traced, or has a layer that this module does not translate.
    """
    from onnx import TensorProto, helper, shape_inference

    net = nn.Sequential(net)  # the tracer enters the outermost module, even if it is a layer
    try:
        traced = fx.GraphModule(net, _Tracer().trace(net))
    except Exception as error:  # the network's own code may raise anything for a symbol
        raise ExportError("to be timed, a network must have no control flow that depends on values", error) from error
    traced.graph.eliminate_dead_code()
    graph, names = Graph(), {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            names[node] = "input"
        elif node.op == "get_attr":
            names[node] = graph.constant(attrgetter(str(node.target))(traced))
        elif node.op == "output":
            graph.nodes.append(helper.make_node("Identity", [names[node.args[0]]], ["output"]))
        else:
            names[node] = _translated(graph, traced, node, names)
    ends = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape)),
        helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", "c", "h", "w"]),
    ]
    whole = helper.make_graph(graph.nodes, "piece", ends[:1], ends[1:], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = rewritten(shape_inference.infer_shapes(model)).SerializeToString()
    return content


class _Tracer(fx.Tracer):
    """Tracer that enters neither layers nor classes derived from the translated ones."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is one node of the trace."""
        return _rule(m) is not None or super().is_leaf_module(m, module_qualified_name)


def _rule(module: nn.Module) -> Callable[..., str] | None:
    return next((MODULES[kind] for kind in type(module).__mro__ if kind in MODULES), None)


def _translated(graph: Graph, traced: fx.GraphModule, node: fx.Node, names: Mapping[fx.Node, str]) -> str:
    """Write one traced call and return the name of its result."""

    def named(value: object) -> object:
        return names[value] if isinstance(value, fx.Node) else value

    arguments = [
        [named(part) for part in value] if isinstance(value, list | tuple) else named(value) for value in node.args
    ]
    options = {key: named(value) for key, value in node.kwargs.items()}
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        arguments.insert(0, module)
        what, rule = type(module).__name__, _rule(module)
    else:
        what = str(getattr(node.target, "__name__", node.target))
        rule = FUNCTIONS.get(what.strip("_"))
    if rule is None:
        raise ExportError("to be timed, a network must consist of layers that slimgen can translate to ONNX", what)
    try:
        return rule(graph, *arguments, **options)
    except TypeError as error:
        raise ExportError(f"to be timed, {what} must have arguments that translate to ONNX", error) from error
