"""A conversion: what is handed over, the process that converts, and what came out of it."""

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from slimgen.errors import ExportError
from slimgen.export.converting.environments import conversion, without_own
from slimgen.export.converting.targets import Target
from slimgen.files import read_json, write_bytes, write_json
from slimgen.run.lock import Lock

GRAPH, SAMPLES, JOB, RESULT, LOG = "edge.onnx", "samples.npz", "job.json", "result.json", "convert.log"
"""Files in the folder of a conversion: the graph, inputs and outputs, the settings, the figures, what it printed."""


@dataclass(frozen=True)
class Converted:
    """One converted variant.

    Attributes:
        name: its number format.
        files: its files, in the folder of the conversion.
        about: names of its input and output.
        bytes: size of the files together.
        max_abs: largest difference from the PyTorch network, in its range of [-1, 1]; None where it cannot run here.
        mean_abs: mean difference.
        psnr_db: 10 log10(2^2 / mean squared difference), at most 200.
        images: inputs that were compared.
        threads: threads within an operator, while it was timed.
        p50_ms: median milliseconds of one image.
        p95_ms: 95th percentile.
        onnxruntime_p50_ms: of the graph for phones in onnxruntime, in turns with it; None where that is not installed.
    """

    name: str
    files: tuple[str, ...]
    about: str
    bytes: int
    max_abs: float | None = None
    mean_abs: float | None = None
    psnr_db: float | None = None
    images: int = 0
    threads: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    onnxruntime_p50_ms: float | None = None


@dataclass(frozen=True)
class Conversion:
    """What a converter made.

    Attributes:
        folder: it holds all files.
        target: the runtime.
        variants: by number format.
        versions: of the packages that made them.
    """

    folder: Path
    target: Target
    variants: tuple[Converted, ...]
    versions: Mapping[str, str]


def convert(
    target: Target,
    python: Path,
    out: Path,
    *,
    graph: bytes,
    inputs: NDArray[Any],
    outputs: NDArray[Any],
    calibration: Sequence[NDArray[Any]],
    stem: str,
    tolerance: float,
    threads: int = 1,
    runs: int = 50,
) -> Conversion:
    """Convert a graph for phones in a process of its own, into a folder that replaces an earlier one once it is whole.

    Args:
        target: the runtime.
        python: that of the converter's environment.
        out: the folder of what is made.
        graph: serialised, for inputs (1, ...).
        inputs: (N, ...), float32.
        outputs: what the PyTorch network returns for them.
        calibration: training inputs (1, ...), for 8-bit integers; empty where the target makes none.
        stem: how the names of its files begin.
        tolerance: largest difference from the PyTorch network that a variant in float32 may have.
        threads: threads within an operator.
        runs: timed calls.

    Raises:
        ExportError: the converter fails, its runtime cannot run what it made, or that returns something else.
    """
    with _aside(out) as aside:
        hand_over(aside, graph, inputs, outputs, calibration, stem, threads, runs, target.distributions)
        result = _result(target, python, aside)
        variants = tuple(Converted(**{**one, "files": tuple(one["files"])}) for one in result["variants"])
        for variant in variants:
            if variant.name == "fp32" and variant.max_abs is not None and not variant.max_abs <= tolerance:
                rule = f"{target.title} must return what the network returns, to {tolerance:g}"
                hint = "the conversion is not kept; raise export.parity if that is good enough"
                raise ExportError(rule, f"a difference of {variant.max_abs:.3g}", hint)
    return Conversion(out, target, variants, result["versions"])


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `out` if the block ends without an error, and else is removed.

    What a killed process left is put back or removed first.

    Raises:
        RunError: another process converts there.
    """
    aside, earlier = (out.with_name(f".{out.name}.{name}") for name in ("new", "earlier"))
    aside.mkdir(parents=True, exist_ok=True)
    lock = Lock(aside)
    lock.acquire()
    try:
        for left in aside.iterdir():
            if left != lock.path:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        if earlier.exists():
            shutil.rmtree(earlier) if out.exists() else earlier.rename(out)
        yield aside
        if out.exists():
            out.rename(earlier)
        lock.release()
        aside.rename(out)
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        lock.release()
        shutil.rmtree(aside, ignore_errors=True)


def hand_over(
    folder: Path,
    graph: bytes,
    inputs: NDArray[Any],
    outputs: NDArray[Any],
    calibration: Sequence[NDArray[Any]],
    stem: str,
    threads: int,
    runs: int,
    versions: Sequence[str],
) -> Path:
    """Write what a converter reads, and return the file that names the rest."""
    write_bytes(folder / GRAPH, graph)
    drawn = numpy.concatenate([*calibration]) if len(calibration) else inputs[:0]
    numpy.savez(folder / SAMPLES, input=inputs, output=outputs, calibration=drawn)
    job = {"graph": GRAPH, "samples": SAMPLES, "stem": stem, "threads": threads, "runs": runs, "versions": versions}
    write_json(folder / JOB, job)
    return folder / JOB


def _result(target: Target, python: Path, folder: Path) -> dict[str, Any]:
    """Run the converter, and return what it reports."""
    command, more = conversion(python, target, folder / JOB)
    with (folder / LOG).open("wb") as log:
        ended = subprocess.run(command, cwd=folder, env={**without_own(), **more}, stdout=log, stderr=subprocess.STDOUT)
    found = read_json(folder / RESULT)
    result: dict[str, Any] = found if isinstance(found, dict) else {}
    if ended.returncode or "variants" not in result:
        rule = f"the converter to {target.title} must take the generator"
        raise ExportError(rule, str(result.get("error") or _ending(ended.returncode, folder / LOG))[:300])
    return result


def _ending(status: int, log: Path) -> str:
    """Return how a process ended that reported nothing: by a signal, or its last words."""
    if status < 0:
        return f"an end by {signal.Signals(-status).name}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"status {status}"
