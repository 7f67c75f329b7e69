"""Exported files whose inputs and outputs are pictures as devices hold them: 8 bits, channels last."""

from typing import TYPE_CHECKING

import numpy

from slimgen.data.label_maps import UNKNOWN
from slimgen.export.rewriting.draft import node

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

HALF = 127.5
"""Levels on each side of 0: pictures of 0 .. 255 are [-1, 1] inside the graph."""


def in_bytes(model: "ModelProto", *, classes: int | None = None, unknown: bool = False) -> "ModelProto":
    """Return a model that takes and returns uint8 (N, H, W, C), with the conversion inside the graph.

    Noise (N, latent) is taken as it is. Levels are rounded half to even, as NumPy does, and clipped.

    Args:
        model: takes one float32 tensor in [-1, 1] (N, C, H, W), or noise, and returns one (N, C, H, W).
        classes: for a model of label maps, the number of its channels that are classes. It then takes ids (N, H, W, 1),
            or, where it has a channel of instances' edges, (N, H, W, 2): ids, and edges where not 0.
        unknown: whether the last class is that of unknown pixels, whose id is 255, as in the label maps themselves.
    """
    from onnx import TensorProto, helper

    made = type(model)()
    made.CopyFrom(model)
    graph = made.graph
    given, result = graph.input[0], graph.output[0]
    names = {given.name: f"{given.name}.values", result.name: f"{result.name}.values"}
    for one in graph.node:
        one.input[:] = [names.get(name, name) for name in one.input]
        one.output[:] = [names.get(name, name) for name in one.output]
    before, constants = [], list[TensorProto]()
    axes = _axes(given)
    if len(axes) == 4:
        channels = axes[1] if classes is None else 1 + (int(axes[1]) > classes)
        if classes is None:
            before = _pictures(given.name, constants)
        else:
            before = _labels(given.name, ids_of(classes, unknown=unknown), axes, constants)
        given_shape = [axes[0], axes[2], axes[3], channels]
        graph.input[0].CopyFrom(helper.make_tensor_value_info(given.name, TensorProto.UINT8, given_shape))
    else:
        before = [node("Identity", [given.name], names[given.name])]
    after = _levels(result.name, constants)
    made_axes = _axes(result)
    shape = [made_axes[0], made_axes[2], made_axes[3], made_axes[1]]
    graph.output[0].CopyFrom(helper.make_tensor_value_info(result.name, TensorProto.UINT8, shape))
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.value_info[:]
    return made


def ids_of(classes: int, *, unknown: bool) -> "NDArray[numpy.int32]":
    """Return the id of each class in label maps: its number, but for the last where that is of unknown pixels."""
    ids = numpy.arange(classes, dtype=numpy.int32)
    if unknown:
        ids[-1] = UNKNOWN
    return ids


def _axes(value: object) -> list[int | str]:
    shape = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    return [axis.dim_param or int(axis.dim_value) for axis in shape]


def _constant(name: str, value: object, into: "list[TensorProto]") -> str:
    from onnx import numpy_helper

    into.append(numpy_helper.from_array(numpy.asarray(value), name))
    return name


def _pictures(name: str, constants: "list[TensorProto]") -> "list[NodeProto]":
    """Return the nodes from levels (N, H, W, C) to values (N, C, H, W) in [-1, 1]."""
    from onnx import TensorProto

    scale = _constant(f"{name}.half", numpy.float32(HALF), constants)
    one = _constant(f"{name}.one", numpy.float32(1), constants)
    return [
        node("Cast", [name], f"{name}.float", to=TensorProto.FLOAT),
        node("Transpose", [f"{name}.float"], f"{name}.planes", perm=[0, 3, 1, 2]),
        node("Div", [f"{name}.planes", scale], f"{name}.scaled"),
        node("Sub", [f"{name}.scaled", one], f"{name}.values"),
    ]


def _labels(
    name: str, known: "NDArray[numpy.int32]", axes: "list[int | str]", constants: "list[TensorProto]"
) -> "list[NodeProto]":
    """Return the nodes from ids (N, H, W, 1 or 2) to channels (N, C, H, W): 1 where a pixel is of the class."""
    from onnx import TensorProto

    edges = int(axes[1]) > len(known)
    ids = _constant(f"{name}.ids", known.reshape(1, -1, 1, 1), constants)
    plane = f"{name}.first" if edges else f"{name}.planes"
    nodes = [
        node("Cast", [name], f"{name}.whole", to=TensorProto.INT32),
        node("Transpose", [f"{name}.whole"], f"{name}.planes", perm=[0, 3, 1, 2]),
    ]
    if edges:
        ends = [_constant(f"{name}.at{at}", numpy.array([at], numpy.int64), constants) for at in (0, 1, 2)]
        nodes += [
            node("Slice", [f"{name}.planes", ends[0], ends[1], ends[1]], plane),
            node("Slice", [f"{name}.planes", ends[1], ends[2], ends[1]], f"{name}.second"),
        ]
    nodes += [
        node("Equal", [plane, ids], f"{name}.equal"),
        node("Cast", [f"{name}.equal"], f"{name}.classes" if edges else f"{name}.values", to=TensorProto.FLOAT),
    ]
    if edges:
        zero = _constant(f"{name}.zero", numpy.int32(0), constants)
        nodes += [
            node("Greater", [f"{name}.second", zero], f"{name}.edge"),
            node("Cast", [f"{name}.edge"], f"{name}.edges", to=TensorProto.FLOAT),
            node("Concat", [f"{name}.classes", f"{name}.edges"], f"{name}.values", axis=1),
        ]
    return nodes


def _levels(name: str, constants: "list[TensorProto]") -> "list[NodeProto]":
    """Return the nodes from values (N, C, H, W) in [-1, 1] to levels (N, H, W, C)."""
    from onnx import TensorProto

    scale = _constant(f"{name}.half", numpy.float32(HALF), constants)
    one = _constant(f"{name}.one", numpy.float32(1), constants)
    ends = [_constant(f"{name}.level{level}", numpy.float32(level), constants) for level in (0, 255)]
    return [
        node("Add", [f"{name}.values", one], f"{name}.raised"),
        node("Mul", [f"{name}.raised", scale], f"{name}.scaled"),
        node("Round", [f"{name}.scaled"], f"{name}.round"),
        node("Clip", [f"{name}.round", *ends], f"{name}.clipped"),
        node("Cast", [f"{name}.clipped"], f"{name}.levels", to=TensorProto.UINT8),
        node("Transpose", [f"{name}.levels"], name, perm=[0, 2, 3, 1]),
    ]
