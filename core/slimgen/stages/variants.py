"""Variants of an exported generator in other number formats: made, measured on the test images, and timed in turns."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from slimgen import files
from slimgen.cost.latency import Latency, latencies_in_turns, onnx_timed
from slimgen.errors import ExportError
from slimgen.export.formats import FP16, FP32, NUMBERS, half, quantized
from slimgen.export.onnx import Parity, parity
from slimgen.export.running import OnnxGenerator
from slimgen.export.tiling import Tiling
from slimgen.export.variants import Variant, change_of, recommended
from slimgen.recipe.trainings import Schedule
from slimgen.stages.comparison import comparison
from slimgen.stages.exporting import Exporting
from slimgen.stages.work import Work
from slimgen.training.distributed import alone

Tell = Callable[[Mapping[str, float]], None]
"""Function of a step's values, called when it is done."""


def write_variants(exporting: Exporting, tell: Tell) -> None:
    """Write the variants that the recipe asks for beside the file in float32."""
    plain = onnx.load(exporting.path(FP32))
    for name in exporting.work.recipe.export.variants[1:]:
        made = half(plain) if name == FP16 else _integers(exporting, plain)
        files.write_bytes(exporting.path(name), exporting.stamped(name, made))
        tell({})


def _integers(exporting: Exporting, plain: "onnx.ModelProto") -> "onnx.ModelProto":
    work = exporting.work
    return quantized(plain, calibration(work, exporting.suffix), work.recipe.export.int8)


def measured_variants(
    exporting: Exporting, difference: Parity, tiles: Tiling | None, tell: Tell
) -> tuple[list[Variant], Latency]:
    """Measure all variants, and return them with fp32's latency; its `difference` from the network is known already.

    Quality is measured only where there are several variants; otherwise the comparison with PyTorch says it. `tiles` is
    how pictures of other sizes pass through a file that enlarges them.
    """
    work, options = exporting.work, exporting.work.recipe.export
    names, quality, goals = options.variants, dict[str, Mapping[str, float]](), dict[str, str]()
    if len(names) > 1 and work.recipe.evaluate.metrics:
        cached = work.inputs["evaluate"] / f"reference{exporting.suffix}"
        compared = comparison(work, exporting.suffix, cached if cached.is_dir() else None)
        goals |= compared.goals
        for name in names:
            net = OnnxGenerator(exporting.path(name), torch.get_num_threads(), tiles)
            quality[name] = compared.measure(name, work.job.task, net, 0)
            tell(quality[name])
    times = timed_in_turns(exporting, names)
    variants = []
    for name in names:
        path, time = exporting.path(name), times[name]
        apart = difference.max_abs if name == FP32 else _apart(exporting, path)
        values = quality.get(name, {})
        change = change_of(values, quality.get(FP32, {}))
        size = path.stat().st_size
        variants.append(Variant(name, path.name, size, values, change, time.p50_ms, time.p95_ms, apart))
    best = recommended(variants, goals, options.tolerance)
    return [replace(one, recommended=one.name == best) for one in variants], times[FP32]


def _apart(exporting: Exporting, path: Path) -> float | None:
    """Return a variant's largest difference from the network; None if half precision overflows, to no numbers."""
    try:
        return parity(exporting.net, path, exporting.samples, tolerance=math.inf).max_abs
    except ExportError:
        return None


def timed_in_turns(exporting: Exporting, names: tuple[str, ...]) -> dict[str, Latency]:
    """Return the latency of each variant in onnxruntime, one image per call, all in turns."""
    options, shape = exporting.work.recipe.evaluate, (1, *exporting.samples.shape[1:])
    timed = {
        name: onnx_timed(exporting.path(name), shape, options.threads)._replace(variant=f"{NUMBERS[name]} nchw")
        for name in names
    }
    return latencies_in_turns(timed, threads=options.threads, runs=options.latency_runs)


def calibration(work: Work, suffix: str) -> Iterator[NDArray[Any]]:
    """Return a generator's inputs (1, ...) for training images chosen by the seed, cropped as in training.

    Pictures that are all for testing, as those of a generator that was only adopted, serve where there are no others.
    """
    job, count = work.job, work.recipe.export.calibration
    if not _trains(work):
        inputs = job.task.samples(job.task.test(job.data), count)
        yield from (part.numpy() for part in torch.split(inputs.float().cpu(), 1))
        return
    with alone():  # this stage is of one process, whatever their number
        batches = job.task.batches(job.data, Schedule(updates=count, batch=1))["train"]
        for step in range(count):
            pair = batches(step)
            inputs = pair.target if suffix else pair.input
            yield np.ascontiguousarray(inputs[:1].float().cpu().numpy())


def calibrated(work: Work) -> str:
    """Return what the value ranges of int8 come from, in words."""
    count = work.recipe.export.calibration
    if _trains(work):
        return f"{count} training inputs, chosen by the seed"
    return f"the first {min(count, len(work.job.data.split('test').target))} test inputs"


def _trains(work: Work) -> bool:
    """Return whether there are training images."""
    data = work.job.data
    return "train" in data.manifest.splits and len(data.split("train").target) > 0
