"""The ONNX graph of a piece of a network in milliseconds, so that hundreds can be timed.

`export_onnx` writes the file that users get: it goes through torch's exporter, which takes seconds, and proves the
result. Here the graph is only to be timed. It is traced symbolically and translated layer by layer into the operators
that the exporter would choose, so onnxruntime optimises and runs it as it does the exported file.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, fx, nn

from slimgen.errors import ExportError
from slimgen.export.latency.layers import FUNCTIONS, MODULES, Graph

OPSET, IR = 20, 10


def onnx_graph(net: nn.Module, shape: Sequence[int]) -> bytes:
    """A network of one image tensor, as it computes in evaluation mode in float32, as a serialised ONNX model.

    Convolutions (dense, grouped, transposed), reflected and zero padding, InstanceNorm, BatchNorm, the activations of
    generators, nearest and bilinear enlarging, sums, products and concatenations, as modules or as functions. The
    input is called `input`, the output `output`. The network is not changed.

    Args:
        net: a tensor (N, C, H, W) in and one out; its control flow does not depend on values.
        shape: of the input; fixed in the graph.

    Raises:
        ExportError: it cannot be traced, or has a layer that is not translated here.
    """
    from onnx import TensorProto, helper

    net = nn.Sequential(net)  # what is traced is looked into, even a layer
    try:
        traced = fx.GraphModule(net, _Tracer().trace(net))
    except Exception as error:  # whatever the network's own code raises at a symbol
        raise ExportError("a network to be timed has no control flow that depends on values", error) from error
    traced.graph.eliminate_dead_code()
    graph, names = Graph(), {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            names[node] = "input"
        elif node.op == "get_attr":
            names[node] = graph.constant(_attribute(traced, str(node.target)))
        elif node.op == "output":
            graph.nodes.append(helper.make_node("Identity", [names[node.args[0]]], ["output"]))
        else:
            names[node] = _translated(graph, traced, node, names)
    ends = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape)),
        helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", "c", "h", "w"]),
    ]
    whole = helper.make_graph(graph.nodes, "piece", ends[:1], ends[1:], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    content: bytes = model.SerializeToString()
    return content


class _Tracer(fx.Tracer):
    """Looks neither into layers, as always, nor into classes derived from those that are translated."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the trace."""
        return _rule(m) is not None or super().is_leaf_module(m, module_qualified_name)


def _rule(module: nn.Module) -> Callable[..., str] | None:
    return next((MODULES[kind] for kind in type(module).__mro__ if kind in MODULES), None)


def _translated(graph: Graph, traced: fx.GraphModule, node: fx.Node, names: Mapping[fx.Node, str]) -> str:
    """Writes one traced call; returns the name of its result."""

    def named(value: object) -> object:
        return names[value] if isinstance(value, fx.Node) else value

    arguments = [
        [named(part) for part in value] if isinstance(value, list | tuple) else named(value) for value in node.args
    ]
    options = {key: named(value) for key, value in node.kwargs.items()}
    rule: Callable[..., str] | None
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        rule = _rule(module)
        arguments.insert(0, module)
        what = type(module).__name__
    else:
        what = str(getattr(node.target, "__name__", node.target))
        rule = FUNCTIONS.get(what.strip("_"))
    if rule is None:
        raise ExportError("a network to be timed is made of layers that are translated to ONNX here", what)
    try:
        return rule(graph, *arguments, **options)
    except TypeError as error:
        raise ExportError(f"{what} is called in a way that is translated to ONNX here", error) from error


def _attribute(traced: fx.GraphModule, target: str) -> Tensor:
    owner, _, name = target.rpartition(".")
    value: Tensor = getattr(traced.get_submodule(owner), name)
    return value
