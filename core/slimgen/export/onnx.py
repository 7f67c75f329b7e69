"""Export of a generator to one ONNX file, and comparison of its outputs with the network's."""

import contextlib
import copy
import functools
import io
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor, nn

from slimgen.cost.latency import onnx_session
from slimgen.errors import ExportError, reason
from slimgen.export.axes import STEPS
from slimgen.export.rewriting import rewritten
from slimgen.files import write_bytes

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "input", "output"
AXES = {0: "batch", 2: "height", 3: "width"}
# Largest relative difference of a correct graph; a wrong one differs far more, and `parity` measures the rest.
ALIKE = 0.02
_POWERS = 12  # of two, times the multiple: the smaller sizes that are tried
_TALKATIVE = ("torch", "torch.onnx", "torch.export", "torch.fx.experimental.symbolic_shapes", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class OnnxFile:
    """An exported file.

    Attributes:
        path: the file, weights included.
        opset: version of its ONNX operator set.
        input: name and shape of the input; an axis is a number, or a name if it may vary.
        output: likewise of the output.
        dynamic: the axes among `batch`, `height` and `width` that vary, as tried out.
        height: height at export in px, of input and output images, or of the images from noise.
        width: likewise.
        bytes: size of the file.
        fixed_because: the reason why an axis that should vary is fixed; empty if all vary.
        multiple: height and width must be multiples of this many px, as tried out; 1 where any size runs.
        least: side of the smallest square that runs, among those tried; None where height or width is fixed.
    """

    path: Path
    opset: int
    input: tuple[str, tuple[int | str, ...]]
    output: tuple[str, tuple[int | str, ...]]
    dynamic: tuple[str, ...]
    height: int
    width: int
    bytes: int
    fixed_because: str = ""
    multiple: int = 1
    least: int | None = None


def export_onnx(
    net: nn.Module,
    path: Path,
    *,
    height: int,
    width: int,
    channels: int = 3,
    latent: int | None = None,
    opset: int = 20,
    dynamic: bool = True,
    rewrite: bool = True,
) -> OnnxFile:
    """Write a generator, in evaluation mode and float32, to one ONNX file.

    The batch axis varies; for images, height and width do too if the network allows it. onnxruntime is compared with
    the network at other sizes to find out; axes that do not work are declared fixed. The bytes depend only on the
    network, the sizes and torch's version, and contain no paths, times or traces. The network is not changed.

    Args:
        net: image to image, one tensor (N, channels, H, W) in and one out; or noise to image, (N, latent) in.
        path: the file, written whole or not at all.
        height: px to export at; the only height of the file if the network fixes it.
        width: likewise.
        channels: input channels.
        latent: length of the noise; None for a network that takes images.
        opset: ONNX operator set to write.
        dynamic: False fixes height and width without trying.
        rewrite: False leaves the graph as torch's exporter writes it (`slimgen.export.rewriting`).

    Raises:
        ExportError: the network cannot be expressed in ONNX, the graph is not valid, or the file is over ONNX's 2 GB.
    """
    net = _exact(net)
    failures: list[str] = []
    row = (channels, height, width) if latent is None else (latent,)
    for axes in [(0, 2, 3), (0,), ()] if dynamic and latent is None else [(0,), ()]:
        try:
            model = _checked(net, (2 if axes else 1, *row), axes, opset, rewrite)
            content = model.SerializeToString(deterministic=True)
            multiple = _multiple(net, content, row) if 2 in axes else 1
            least = _least(net, content, row, multiple) if 2 in axes else None
        except Exception as error:
            failures.append(reason(error))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
        version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        given, made = ((value.name, _shape(value)) for value in (model.graph.input[0], model.graph.output[0]))
        varying, fixed = tuple(AXES[axis] for axis in axes), failures[-1] if failures else ""
        return OnnxFile(path, version, given, made, varying, height, width, len(content), fixed, multiple, least)
    raise ExportError("the generator must be exportable as one ONNX graph", failures[-1])


def export_fixed(net: nn.Module, shape: Sequence[int], opset: int = 20, *, rewrite: bool = True) -> bytes:
    """Return a generator as `export_onnx` writes it, serialised, for one input shape; takes a fraction of the time.

    Args:
        net: as in `export_onnx`.
        shape: (N, C, H, W), or (N, latent).
        opset: ONNX operator set to write.
        rewrite: as in `export_onnx`.

    Raises:
        ExportError: the network cannot be expressed in ONNX, or the graph is not valid.
    """
    try:
        content: bytes = _checked(_exact(net), shape, (), opset, rewrite).SerializeToString(deterministic=True)
    except Exception as error:
        raise ExportError("the generator must be exportable as one ONNX graph", reason(error)) from error
    return content


def _exact(net: nn.Module) -> nn.Module:
    """Return a copy that computes in evaluation mode in float32 on the CPU."""
    return copy.deepcopy(net).to("cpu", torch.float32).requires_grad_(False).eval()


def _checked(
    net: nn.Module, shape: Sequence[int], axes: Sequence[int], opset: int, rewrite: bool = True
) -> "ModelProto":
    """Return the graph for inputs of this shape with these variable axes, after comparing it with the network."""
    images = _noise(*shape)
    model = _translate(net, images, axes, opset)
    if rewrite:
        with contextlib.suppress(Exception):  # if the faster form fails, the plain one is used, and checked next
            faster = rewritten(model)
            _check(net, faster, images, axes)
            return faster
    _check(net, model, images, axes)
    return model


def _noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _translate(net: nn.Module, images: Tensor, axes: Sequence[int], opset: int) -> "ModelProto":
    """Return the graph with the axes that torch left variable."""
    with _quiet():
        _read_operators_once()
        program = torch.onnx.export(
            net,
            (images,),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({axis: AXES[axis] for axis in axes},) if axes else None,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    # Stack traces and other notes of the exporter contain paths of this machine and change the bytes.
    graph.name = "generator"
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    shape = _shape(graph.input[0])
    for axis in axes:
        if isinstance(shape[axis], int):
            raise ExportError(f"the network must accept any {AXES[axis]}", f"one fixed at {shape[axis]}")
    return model


@functools.cache
def _read_operators_once() -> None:
    """Let torch read the source of all its operators once a process; at every export that takes longer than a graph."""
    with contextlib.suppress(ImportError, AttributeError):  # a part of torch that may change
        from torch.onnx._internal.exporter import _registration

        registry = _registration.ONNXRegistry
        registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))  # type: ignore[method-assign]


def _check(net: nn.Module, model: "ModelProto", images: Tensor, axes: Sequence[int]) -> None:
    """Validate the graph, then compare it with the network at the exported size and at others."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    session = onnx_session(model.SerializeToString())
    shapes = [tuple(images.shape), *([(1, *images.shape[1:])] if axes else [])]
    if 2 in axes:
        channels, height, width = images.shape[1:]
        # A network that takes a size takes twice that size.
        shapes += [(1, channels, height, 2 * width), (1, channels, 2 * height, width)]
    for shape in shapes:
        if not _agree(net, session, shape):
            raise ExportError("the ONNX graph must return the network's output", f"another one for an input of {shape}")


def _agree(net: nn.Module, session: "InferenceSession", shape: Sequence[int]) -> bool:
    """Return whether network and graph return the same for an input of a shape; the network is asked first."""
    part = _noise(*shape)
    with torch.inference_mode():
        expected = net(part).numpy()
    got = session.run(None, {INPUT: part.numpy()})[0]
    return got.shape == expected.shape and bool(numpy.abs(got - expected).max() <= ALIKE * numpy.abs(expected).max())


def _multiple(net: nn.Module, content: bytes, row: Sequence[int]) -> int:
    """Return the number of px, a power of two or else what both sides share, whose multiples the file takes.

    Branches that halve an odd side and double it again no longer fit the others; each candidate is tried at the next
    three sizes above the exported one.

    Raises:
        ExportError: no such number, so height and width must be fixed.
    """
    session, (channels, height, width) = onnx_session(content), row
    for multiple in (1, *STEPS, math.gcd(height, width)):
        sizes = [(_next(height, multiple, more), _next(width, multiple, more)) for more in (1, 2, 3)]
        if all(_runs(net, session, (1, channels, *size)) for size in sizes):
            return multiple
    raise ExportError("the network must accept multiples of some size", f"none that runs above {height} x {width}")


def _least(net: nn.Module, content: bytes, row: Sequence[int], multiple: int) -> int:
    """Return the smallest square's side that the file takes: a multiple from which on all smaller powers run, too.

    Reflection needs more pixels than it pads, and a network that halves an image often needs one to halve.
    """
    session, least = onnx_session(content), min(row[1:])
    for side in sorted((multiple * 2**power for power in range(_POWERS)), reverse=True):
        if side < least:
            if not _runs(net, session, (1, row[0], side, side)):
                break
            least = side
    return least


def _next(side: int, multiple: int, more: int) -> int:
    return (side // multiple + more) * multiple


def _runs(net: nn.Module, session: "InferenceSession", shape: Sequence[int]) -> bool:
    """Return whether both take inputs of a shape, and agree."""
    try:
        return _agree(net, session, shape)
    except Exception:
        return False


def _shape(value: object) -> tuple[int | str, ...]:
    axes = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    return tuple(axis.dim_param or int(axis.dim_value) for axis in axes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, warnings and log off the terminal: its result is checked."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    hidden = io.StringIO()
    with contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@dataclass(frozen=True)
class Parity:
    """Difference between two runtimes over several images, in the network's range of [-1, 1].

    `psnr_db` is 10 log10(2^2 / mean squared difference), at most 200; `tolerance` is the limit of `max_abs`.
    """

    max_abs: float
    mean_abs: float
    psnr_db: float
    tolerance: float
    images: int


def parity(net: nn.Module, path: Path, images: Tensor, *, tolerance: float = 1e-3, batch: int = 8) -> Parity:
    """Run real images through the network in float32 and through the ONNX file in onnxruntime, both on the CPU.

    Args:
        net: the network that was exported; it is not changed.
        path: the file.
        images: (N, C, H, W) in [-1, 1], of a size the file accepts.
        tolerance: largest difference allowed. One 8-bit level is 0.0078.
        batch: images per run, if the file's batch axis varies.

    Raises:
        ExportError: no images, a file that onnxruntime cannot run on them, other shapes, or a difference above the
            tolerance (or NaN).
    """
    if not len(images):
        raise ExportError("parity needs at least one image", "none")
    net = _exact(net)
    try:
        session = onnx_session(path)
        entry = session.get_inputs()[0]
        size = entry.shape[0] if isinstance(entry.shape[0], int) else batch
        worst, total, squares, count = 0.0, 0.0, 0.0, 0
        for part in torch.split(images.detach().cpu().float().contiguous(), size):
            with torch.inference_mode():
                expected = net(part).numpy()
            got = session.run(None, {entry.name: part.numpy()})[0]
            if got.shape != expected.shape:
                rule = "the exported model must return the shape that the network returns"
                raise ExportError(rule, f"{got.shape}, not {expected.shape}")
            difference = numpy.abs(got.astype(numpy.float64) - expected)
            # Python's max would drop a NaN.
            worst = float(numpy.maximum(worst, difference.max()))
            total, squares = total + float(difference.sum()), squares + float((difference**2).sum())
            count += difference.size
    except ExportError:
        raise
    except Exception as error:
        rule = f"onnxruntime must run {path.name} on images of shape {tuple(images.shape[1:])}"
        raise ExportError(rule, reason(error)) from error
    if not worst <= tolerance:
        raise ExportError(
            f"the exported model must differ from the network by at most {tolerance:g}",
            f"{worst:g} on {len(images)} images",
            "raise export.parity if that is good enough",
        )
    decibels = min(10 * math.log10(4 * count / squares), 200.0) if squares else 200.0
    return Parity(worst, total / count, decibels, tolerance, len(images))
