"""Variants of an exported file in other number formats: half precision and 8-bit integers."""

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from slimgen.errors import ExportError, reason

if TYPE_CHECKING:
    from onnx import ModelProto

FP32, FP16, INT8 = "fp32", "fp16", "int8"
NUMBERS = {FP32: "float32", FP16: "float16", INT8: "int8"}
"""Number formats in the words of a latency's conditions."""
QUANTIZED = ("Conv", "ConvTranspose")
"""Operators whose inputs and weights are 8-bit integers in the variant `int8`."""
ALIKE = 0.05
"""Latencies that differ by a smaller share count as equal."""
LEAST = {"psnr": -0.1}
"""The change of quality that a recommended variant may have, where a recipe names none."""
SHARE = 0.01
"""Likewise, as a share of the value in float32, of a recipe's first metric where none of the others is measured."""


@dataclass(frozen=True)
class Variant:
    """An exported file in one number format, and what was measured of it.

    Attributes:
        name: fp32, fp16 or int8.
        file: name of the file, beside the card.
        bytes: its size.
        quality: values on the test images in onnxruntime, by metric; empty if not measured.
        change: the values minus those of fp32.
        p50_ms: median milliseconds per image in onnxruntime, in turns with the other variants; None if not measured.
        p95_ms: 95th percentile of the milliseconds; None if not measured.
        max_abs: largest difference from the PyTorch network's outputs, of a range of [-1, 1].
        recommended: whether it is the fastest one whose change of quality is tolerated.
    """

    name: str
    file: str
    bytes: int
    quality: Mapping[str, float] = field(default_factory=dict)
    change: Mapping[str, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    max_abs: float | None = None
    recommended: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Variant":
        """Return the variant of a card's JSON, where values that are no numbers were written as null."""
        values = {
            name: {metric: math.nan if value is None else value for metric, value in record[name].items()}
            for name in ("quality", "change")
        }
        return cls(**{**record, **values})


def half(model: "ModelProto") -> "ModelProto":
    """Return a model whose weights and operations are float16; inputs and outputs stay float32.

    Runtimes without an operator in half precision, such as onnxruntime on CPUs, compute it in float32.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    twin = type(model)()
    twin.CopyFrom(model)
    with _quiet():
        halved: ModelProto = convert_float_to_float16(twin, keep_io_types=True, disable_shape_infer=True)
    return _loadable(halved)


def quantized(model: "ModelProto", inputs: Iterable[NDArray[Any]]) -> "ModelProto":
    """Return a model whose convolutions, transposed ones included, compute with 8-bit integers.

    Weights are scaled per output channel, and activations per tensor, from their least and largest values over
    `inputs` (onnxruntime's static quantization, in its QDQ form, which other runtimes read as well).

    Args:
        model: float32; it is not changed.
        inputs: inputs (1, ...) to calibrate with, float32, at least one.

    Raises:
        ExportError: the model cannot be quantized.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    name, arrays = model.graph.input[0].name, iter(inputs)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The inputs, one after the other."""

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            """Return the next input by name; None after the last."""
            part = next(arrays, None)
            return None if part is None else {name: numpy.ascontiguousarray(part, numpy.float32)}

    twin = type(model)()
    twin.CopyFrom(model)
    del twin.metadata_props[:]
    # The mark of onnxruntime's own preparation, of which the exported graph needs nothing: shapes are known.
    twin.metadata_props.add(key="onnx.infer", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given.onnx"), Path(folder, "made.onnx")
        given.write_bytes(twin.SerializeToString())
        try:
            with _quiet():
                quantize_static(
                    given,
                    made,
                    Reader(),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTIZED),
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                )
        except Exception as error:  # it raises errors of many kinds
            raise ExportError("onnxruntime must be able to quantize the graph", reason(error)) from error
        found = onnx.load(made)
    return _loadable(found)


def to_time(content: bytes, shape: Sequence[int], deploy: str) -> bytes:
    """Return a serialised float32 model in the number format in which it is to be timed.

    Its value ranges come from one random input of this shape, since speed does not depend on them.
    """
    import onnx

    if deploy != INT8:
        return content
    drawn = numpy.random.default_rng(0).uniform(-1, 1, tuple(shape)).astype(numpy.float32)
    made: bytes = quantized(onnx.load_from_string(content), [drawn]).SerializeToString(deterministic=True)
    return made


def _loadable(model: "ModelProto") -> "ModelProto":
    """Return a model without the shapes of its values, which converters leave outdated, and without their notes."""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converters' log, which goes to the root logger, off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def change_of(quality: Mapping[str, float], plain: Mapping[str, float]) -> dict[str, float]:
    """Return the values of a variant minus those of fp32, by metric."""
    return {metric: value - plain[metric] for metric, value in quality.items() if metric in plain}


def tolerated(
    change: Mapping[str, float], plain: Mapping[str, float], goals: Mapping[str, str], tolerance: Mapping[str, float]
) -> bool:
    """Return whether a change of quality is within a tolerance.

    Args:
        change: by metric.
        plain: the values of fp32.
        goals: `min` or `max` by metric, whichever is better.
        tolerance: by metric, the change allowed for the worse: negative where more is better. Without one, `LEAST` of
            the measured metrics counts, or `SHARE` of the first metric.
    """
    limits = dict(tolerance) or {metric: limit for metric, limit in LEAST.items() if metric in change}
    if not limits and change:
        first = next(iter(change))
        limits = {first: abs(plain[first]) * SHARE * (-1 if goals.get(first) == "max" else 1)}
    for metric, limit in limits.items():
        found = change.get(metric, math.nan)
        if not (found >= limit if goals.get(metric) == "max" else found <= limit):
            return False
    return True


def recommended(variants: Sequence[Variant], goals: Mapping[str, str], tolerance: Mapping[str, float]) -> str:
    """Return the name of the fastest variant whose change of quality is tolerated; of equally fast ones the smallest.

    fp32, the first, is always allowed. See `tolerated`.
    """
    plain = variants[0]
    allowed = [one for one in variants if one is plain or tolerated(one.change, plain.quality, goals, tolerance)]
    timed = [one.p50_ms for one in allowed if one.p50_ms is not None]
    if len(timed) < len(allowed):
        return plain.name
    fast = [one for one in allowed if (one.p50_ms or 0.0) <= (1 + ALIKE) * min(timed)]
    return min(fast, key=lambda one: one.bytes).name
