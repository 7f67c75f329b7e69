"""Number formats of exported files: half precision, and 8-bit integers."""

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
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
"""Operators whose inputs and weights may be 8-bit integers in the variant `int8`."""
FAST, ALL = "fast", "all"
"""Which convolutions are; see `plan`."""
WHOLE, WEIGHTS, FLOAT = "whole", "weights", "float"
NONE = "none of the nodes"
PICTURE = 4
"""Most channels of a picture. A convolution of so few inputs is no faster in integers."""
LARGEST = 127
"""Largest 8-bit integer, of either sign, of a weight that is converted before it is used."""
MULTIPLIED = 64
"""The same of a weight that is multiplied as an integer.

x86 CPUs without VNNI add two products of 8 bits in 16, where larger weights overflow; so one bit less makes the same
pictures on every CPU.
"""


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


def quantized(
    model: "ModelProto", inputs: Iterable[NDArray[Any]], how: str = FAST, *, portable: bool = True
) -> "ModelProto":
    """Return a model whose convolutions compute with 8-bit integers, those that are faster for it or all of them.

    Weights are scaled per output channel, to `MULTIPLIED` steps, and activations per tensor, from their least and
    largest values over `inputs` (onnxruntime's static quantization, in its QDQ form, which other runtimes read as
    well). Some convolutions that compute in float32 store their weights as 8-bit integers, too; see `plan`.

    Args:
        model: float32; it is not changed.
        inputs: inputs (1, ...) to calibrate with, float32, at least one.
        how: `fast` or `all`; see `plan`.
        portable: False gives multiplied weights all 8 bits, which some processors overflow.

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
    for number, one in enumerate(twin.graph.node):
        one.name = f"{number}: {one.name}"  # by which it is named to the quantizer, so no two may share it
    planned = plan(twin, how)
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
                    nodes_to_quantize=[one for one, part in planned.items() if part == WHOLE] or [NONE],
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    reduce_range=portable,  # of weights, to MULTIPLIED
                    extra_options={"DedicatedQDQPair": True},
                )
        except Exception as error:  # it raises errors of many kinds
            raise ExportError("onnxruntime must be able to quantize the graph", reason(error)) from error
        found = onnx.load(made)
    return _loadable(_stored(found, {one for one, part in planned.items() if part == WEIGHTS}))


def plan(model: "ModelProto", how: str) -> dict[str, str]:
    """Return, for each convolution by the name of its node, what of it becomes 8-bit integers.

    `WHOLE`: it computes with integers; `WEIGHTS`: its weights are stored as integers; `FLOAT`: nothing. With `all`,
    every convolution is `WHOLE`, as accelerators that only know integers need it. With `fast` those are which
    onnxruntime computes faster so on a CPU: dense ones of more than `PICTURE` inputs. It has no transposed ones in
    integers, it computes depthwise ones slower, and those in rows (`slimgen.export.rewriting`) no faster. Stored
    weights are converted at every call, and take dense convolutions out of the fastest layout; so only transposed ones
    and rows have them.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found = {}
    for one in model.graph.node:
        if one.op_type not in QUANTIZED or one.input[1] not in shapes:
            continue
        shape = shapes[one.input[1]]
        groups = next((attribute.i for attribute in one.attribute if attribute.name == "group"), 1)
        if how == ALL:
            found[one.name] = WHOLE
        elif groups > 1:
            found[one.name] = FLOAT
        elif one.op_type == "ConvTranspose" or len(shape) == 3:
            found[one.name] = WEIGHTS
        else:
            found[one.name] = WHOLE if shape[1] > PICTURE else FLOAT
    return found


def _stored(model: "ModelProto", names: Collection[str]) -> "ModelProto":
    """Store the weights of these convolutions as 8-bit integers, scaled per output channel; they compute in float."""
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {one.input[1]: one.op_type for one in graph.node if one.op_type in QUANTIZED and one.name in names}
    before = []
    for tensor in [tensor for tensor in graph.initializer if tensor.name in weights]:
        values, axis = numpy_helper.to_array(tensor), int(weights[tensor.name] == "ConvTranspose")
        others = tuple(place for place in range(values.ndim) if place != axis)
        scale = numpy.maximum(numpy.abs(values).max(others), numpy.finfo(numpy.float32).tiny) / LARGEST
        steps = numpy.rint(values / numpy.expand_dims(scale, others)).clip(-LARGEST, LARGEST).astype(numpy.int8)
        parts = {
            "quantized": steps,
            "scale": scale.astype(numpy.float32),
            "zero_point": numpy.zeros_like(scale, numpy.int8),
        }
        given = [f"{tensor.name}_{part}" for part in parts]
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in zip(given, parts.values(), strict=True)
        )
        before.append(helper.make_node("DequantizeLinear", given, [tensor.name], f"{tensor.name} stored", axis=axis))
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


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
