"""What a converter is given, and what it reports: agreement with PyTorch, and times in turns with onnxruntime."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

Array = NDArray[Any]
Call = Callable[[Array], Array]
"""A network that a runtime has loaded: input (1, ...) to output (1, ...), both float32."""
ROUNDS = 10


@dataclass
class Variant:
    """One converted variant of a network.

    Attributes:
        name: its number format, such as `fp32`.
        files: names of its files, in the job's folder.
        about: how its inputs and outputs are named.
        call: it, loaded; None where it cannot run on this machine.
    """

    name: str
    files: Sequence[str]
    about: str
    call: Call | None


@dataclass
class Job:
    """A conversion.

    Attributes:
        graph: the ONNX file, with one image per call.
        inputs: (N, ...), float32.
        outputs: (N, ...): what the PyTorch network returns for them.
        calibration: (N, ...): training inputs, for number formats with less range.
        out: where the files go.
        stem: how their names begin.
        threads: threads within an operator.
        runs: timed calls of each variant.
        versions: packages to name in the report.
    """

    graph: Path
    inputs: Array
    outputs: Array
    calibration: Array
    out: Path
    stem: str
    threads: int
    runs: int
    versions: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Read a job's file; the paths in it are relative to its folder."""
        said, folder = json.loads(path.read_text()), path.parent
        with numpy.load(folder / said["samples"]) as arrays:
            inputs, outputs, calibration = (arrays[name] for name in ("input", "output", "calibration"))
        settings = {name: said[name] for name in ("stem", "threads", "runs", "versions")}
        return cls(folder / said["graph"], inputs, outputs, calibration, folder, **settings)

    def one(self, at: int = 0) -> Array:
        """Return one input, (1, ...), whole in memory."""
        return numpy.ascontiguousarray(self.inputs[at : at + 1])


def perform(convert: Callable[[Job], Sequence[Variant]]) -> None:
    """Convert the job that the command line names, and write `result.json` beside it: the variants, or the error."""
    path = Path(sys.argv[1])
    try:
        job = Job.read(path)
        result: dict[str, object] = {"variants": report(job, convert(job)), "versions": versions(job.versions)}
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    (path.parent / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    sys.exit("error" in result)


def report(job: Job, variants: Sequence[Variant]) -> list[dict[str, object]]:
    """Return each variant's size, its difference from the PyTorch network, and its time beside onnxruntime's."""
    running = {variant.name: variant.call for variant in variants if variant.call is not None}
    beside = onnxruntime_of(job)
    times = in_turns(job, {**running, **({} if beside is None else {"onnxruntime": beside})}) if running else {}
    found = []
    for variant in variants:
        one: dict[str, object] = {"name": variant.name, "files": list(variant.files), "about": variant.about}
        one["bytes"] = sum(size(job.out / name) for name in variant.files)
        if variant.call is not None:
            one |= difference(job, variant.call) | {"threads": job.threads, **times[variant.name]}
            one["onnxruntime_p50_ms"] = times.get("onnxruntime", {}).get("p50_ms")
        found.append(one)
    return found


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return sum(part.stat().st_size for part in (path.rglob("*") if path.is_dir() else [path]) if part.is_file())


def difference(job: Job, call: Call) -> dict[str, float | int]:
    """Compare a variant with the PyTorch network on all samples: largest and mean difference, and PSNR of [-1, 1]."""
    made = numpy.concatenate([call(job.one(at)) for at in range(len(job.inputs))])
    if made.shape != job.outputs.shape:
        raise ValueError(f"it returns {made.shape[1:]}, and not {job.outputs.shape[1:]}")
    apart = numpy.abs(made.astype(numpy.float64) - job.outputs)
    if not numpy.isfinite(apart).all():
        raise ValueError("it returns values that are no numbers")
    squares = float((apart**2).mean())
    psnr = min(float(10 * numpy.log10(4 / squares)), 200.0) if squares else 200.0
    return {"max_abs": float(apart.max()), "mean_abs": float(apart.mean()), "psnr_db": psnr, "images": len(apart)}


def onnxruntime_of(job: Job) -> Call | None:
    """Return the graph itself in onnxruntime; None where that is not installed."""
    if util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = job.threads, 4
    session = onnxruntime.InferenceSession(str(job.graph), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def call(given: Array) -> Array:
        made: Array = session.run(None, {name: given})[0]
        return made

    return call


def in_turns(job: Job, calls: Mapping[str, Call]) -> dict[str, dict[str, float]]:
    """Return median and 95th percentile of the milliseconds of each, which take turns; one call before each turn.

    On one thread it is the process's own time that counts, which stands still while other processes have the core.
    """
    clock = time.process_time if job.threads == 1 and os.name == "posix" else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in calls}
    given, share = job.one(), -(-job.runs // ROUNDS)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call(given)
            for _ in range(share):
                start = clock()
                call(given)
                times[name].append(1000 * (clock() - start))
    found = {}
    for name, taken in times.items():
        p50, p95 = (round(float(value), 4) for value in numpy.percentile(taken, (50, 95)))
        found[name] = {"p50_ms": p50, "p95_ms": p95}
    return found


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of packages."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
