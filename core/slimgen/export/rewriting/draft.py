"""A graph being rewritten: its nodes in order, its constants, and known shapes."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Shape = tuple[int | str, ...]
"""Shape of a value: numbers, and names or formulas of variable sizes."""
ELEMENTWISE = frozenset(("Relu", "LeakyRelu", "Tanh", "Sigmoid"))
"""Operators of one input that treat every pixel alike."""
NORMS = frozenset(("InstanceNormalization", "BatchNormalization"))
SUMS = frozenset(("Add", "Sub", "Mul", "Div"))


class Draft:
    """A copy of a model's graph, to be changed.

    Attributes:
        nodes: the nodes, in an order in which they can be computed.
        shapes: the known shapes, by name of the value.
    """

    def __init__(self, model: "ModelProto") -> None:
        graph = model.graph
        self._origin = model
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes: list[NodeProto] = list(graph.node)
        self.shapes: dict[str, Shape] = {
            value.name: tuple(
                int(side.dim_value) if side.HasField("dim_value") else side.dim_param or f"axis {axis} of {value.name}"
                for axis, side in enumerate(value.type.tensor_type.shape.dim)
            )
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        self.shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.outputs = [value.name for value in graph.output]

    def makers(self) -> dict[str, "NodeProto"]:
        """Return the node that computes each value."""
        return {name: node for node in self.nodes for name in node.output}

    def readers(self) -> Counter[str]:
        """Return how often nodes and the graph's outputs read each value."""
        return Counter([*(name for node in self.nodes for name in node.input), *self.outputs])

    def array(self, name: str) -> NDArray[Any] | None:
        """Return a constant; None for any other value."""
        from onnx import numpy_helper

        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant under a name, or find it there, and return the name."""
        from onnx import numpy_helper

        self._constants.setdefault(name, numpy_helper.from_array(numpy.ascontiguousarray(value), name))
        self.shapes[name] = value.shape
        return name

    def model(self) -> "ModelProto":
        """Return the model without nodes and constants that nothing reads."""
        from onnx import ModelProto

        model = ModelProto()
        model.CopyFrom(self._origin)
        wanted, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(filter(None, node.input))  # an omitted input has no name
                kept.append(node)
        known = {name for node in kept for name in node.output}
        values = [value for value in model.graph.value_info if value.name in known]
        for field, content in {
            "node": kept[::-1],
            "initializer": [tensor for name, tensor in self._constants.items() if name in wanted],
            "value_info": values,
        }.items():
            model.graph.ClearField(field)
            getattr(model.graph, field).extend(content)
        return model


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> "NodeProto":
    """Return a node with one output that has its name."""
    from onnx import helper

    return helper.make_node(kind, inputs, [output], f"{output} by {kind}", **attributes)


def attributes(given: "NodeProto") -> dict[str, Any]:
    """Return the attributes of a node by name."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in given.attribute}


def window(draft: Draft, conv: "NodeProto") -> tuple[NDArray[Any], list[int]] | None:
    """Return weights and pads of an image convolution with stride 1 and one group; None for any other node."""
    weights = draft.array(conv.input[1]) if conv.op_type == "Conv" else None
    if weights is None or weights.ndim != 4:
        return None
    found = attributes(conv)
    plain = all(step == 1 for name in ("strides", "dilations") for step in found.get(name, (1,)))
    if not plain or found.get("group", 1) != 1 or found.get("auto_pad", b"NOTSET") != b"NOTSET":
        return None
    return weights, list(found.get("pads", [0] * 4))
