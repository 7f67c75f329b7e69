"""What the accelerators of phones take of an ONNX file, as onnxruntime's own tool judges it.

The tool (`onnxruntime.tools.check_onnx_model_mobile_usability`) only prints; here are its figures. It knows for each
provider which operators and ranks it takes, and whether shapes may vary, but not every condition on attributes.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slimgen.errors import ExportError, reason

PROVIDERS: Mapping[str, tuple[str, str]] = {
    "CoreML": ("check_coreml_partitions", "coreml_supported_mlprogram_ops.md"),
    "CoreML NeuralNetwork": ("check_coreml_partitions", "coreml_supported_neuralnetwork_ops.md"),
    "NNAPI": ("check_nnapi_partitions", ""),
}
"""Providers by name, to the tool's function and its list of operators. `CoreML` is the format ML Program, of iOS 15 and
later; NeuralNetwork is the one before."""


@dataclass(frozen=True)
class Verdict:
    """What one provider takes of a file.

    Attributes:
        provider: a name of `PROVIDERS`.
        takes: `YES` if nearly all nodes run there in one piece, `MAYBE` if that has to be tried, else `NO`.
        nodes: nodes of the graph after onnxruntime's basic optimizations.
        supported: those of them that the provider takes.
        partitions: pieces in which they run; between two pieces everything is copied.
        reasons: why it does not take the others; empty if it takes all.
    """

    provider: str
    takes: str
    nodes: int
    supported: int
    partitions: int
    reasons: tuple[str, ...]


def verdicts(path: Path) -> dict[str, Verdict]:
    """Return what each of `PROVIDERS` takes of a file as it is, by the provider's name.

    Raises:
        ExportError: the file is no model that onnxruntime runs, or the installed onnxruntime lacks the tool.
    """
    try:
        from onnxruntime.tools.mobile_helpers import usability_checker
        from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, optimize_model

        with tempfile.TemporaryDirectory() as folder:
            optimized = Path(folder) / path.name
            optimize_model(path, optimized, use_external_initializers=True)
            model = ModelProtoWithShapeInfo(optimized).model_with_shape_info
        found = {}
        for name, (check, listed) in PROVIDERS.items():
            judge: Callable[..., Any] = partial(getattr(usability_checker, check), model, True)
            found[name] = _verdict(name, judge(listed) if listed else judge())
    except Exception as error:  # onnxruntime's errors have no public base class
        rule = f"onnxruntime must tell what phones take of {path.name}"
        raise ExportError(rule, reason(error)) from error
    return found


def _verdict(provider: str, found: Any) -> Verdict:
    """Return the tool's findings as a verdict."""
    reasons = []
    if found.unsupported_ops:
        kinds = ", ".join(sorted(kind.removeprefix("ai.onnx:") for kind in found.unsupported_ops))
        reasons.append(f"{found.nodes_unsupported_due_to_op} nodes of {kinds}")
    for count, what in (
        (found.nodes_unsupported_due_to_dynamic_input, "whose shape varies"),
        (found.num_unsupported_nodes_due_to_rank, "with too many axes"),
    ):
        if count:
            reasons.append(f"{count} nodes {what}")
    return Verdict(
        provider,
        found.suitability().name,
        found.num_nodes,
        found.num_supported_nodes,
        found.num_partitions,
        tuple(reasons),
    )
