"""ONNX operator sets that the installed onnx and onnxruntime support."""

from functools import cache

from slimgen.errors import RecipeError


@cache
def require_opset(opset: int) -> None:
    """Raise RecipeError for an operator set that the installed onnx or onnxruntime does not support."""
    import onnx
    from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

    from slimgen.cost.latency import onnx_session

    known = onnx.defs.onnx_opset_version()
    rule = "export.opset must be one that the installed onnx writes and onnxruntime runs"
    if opset > known:
        raise RecipeError(rule, opset, f"set it to {known} at most; 20 suits most runtimes")
    image = (make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y"))
    given, made = image
    graph = make_graph([make_node("Identity", ["x"], ["y"])], "one", [given], [made])
    model = make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=10)
    try:
        onnx_session(model.SerializeToString())
    except Exception as error:  # onnxruntime's errors have no public base class
        raise RecipeError(rule, opset, "20 suits most runtimes") from error
