"""Memory, time and seams of a large picture that an exported upscaler enlarges in windows, beside the whole picture.

    python -m benchmarks.tiled [--blocks 23 --channels 64 --growth 32 --height 350 --width 510 --threads 1]

An RRDBNet with drawn weights is exported, and its windows are measured as in the stage `export`. Then two processes
with numpy and onnxruntime alone enlarge one drawn picture by the code of the model card: one in windows, one whole.
Memory is the peak of a process, its libraries and the weights included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

from slimgen.export.tiled import enlarge

SCALE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=23)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--growth", type=int, default=32)
    parser.add_argument("--height", type=int, default=350)
    parser.add_argument("--width", type=int, default=510)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", nargs=2, type=Path, metavar=("FOLDER", "ARGUMENTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(taken(*arguments.child, arguments.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments, Path(folder))
    from benchmarks.results import save  # with torch, which the two processes must not hold

    save("tiled-rrdbnet", found)
    print(paragraph({**found, "command": "", "machine": {"cores": "these", "cpu": ""}}))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Export the network, and enlarge a picture in both ways."""
    from slimgen.export.onnx import export_onnx
    from slimgen.export.tiling import drawn, tiling
    from slimgen.nets import build_generator

    options = {name: getattr(arguments, name) for name in ("blocks", "channels", "growth")}
    net = build_generator("rrdbnet", seed=0, scale=SCALE, **options).eval()
    file = export_onnx(net, folder / "generator.onnx", height=16, width=24)
    started = time.perf_counter()
    tiles = tiling(file, SCALE)
    settling = time.perf_counter() - started
    numpy.save(folder / "picture.npy", drawn(3, arguments.height, arguments.width))
    rows = {}
    for name, one in (("in windows", tiles), ("whole", replace(tiles, window=None, overlap=0))):
        call = {key: getattr(one, key) for key in ("window", "overlap", "step", "multiple", "least")}
        (folder / f"{name}.json").write_text(json.dumps(call))
        child = ["--threads", str(arguments.threads), "--child", str(folder), f"{name}.json"]
        done = subprocess.run([sys.executable, "-m", "benchmarks.tiled", *child], check=True, capture_output=True)
        rows[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, rows[name], flush=True)
    windows, whole = (numpy.load(folder / f"{name}.npy") for name in rows)
    apart = numpy.abs(windows - whole)
    about = {**options, "scale": SCALE, "height": arguments.height, "width": arguments.width}
    return {
        **about,
        "threads": arguments.threads,
        "tiling": asdict(tiles),
        "seconds to measure the tiling": settling,
        "ways": rows,
        "largest difference": float(apart.max()),
        "range": [float(whole.min()), float(whole.max())],
    }


def taken(folder: Path, name: Path, threads: int) -> dict[str, float]:
    """Enlarge the picture as the card's code does, and return the process's peak memory, the time and the windows."""
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "generator.onnx", options)
    windows = 0

    def run(part: numpy.ndarray) -> numpy.ndarray:
        nonlocal windows
        windows += 1
        return session.run(None, {"input": numpy.ascontiguousarray(part)})[0]

    started = time.perf_counter()
    made = enlarge(numpy.load(folder / "picture.npy"), run, **json.loads((folder / name).read_text()))
    seconds = time.perf_counter() - started
    peak = peak_memory()
    assert "torch" not in sys.modules
    numpy.save((folder / name).with_suffix(".npy"), made)
    return {"bytes": peak, "seconds": seconds, "windows": windows}


def peak_memory() -> int:
    """Return this process's peak resident memory in bytes; unlike getrusage's, it does not count the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph on a picture in windows and whole."""
    tiles, machine = found["tiling"], found["machine"]
    rows = ["| | windows | peak memory, MB | seconds |", "| --- | --- | --- | --- |"]
    for name, one in found["ways"].items():
        rows.append(f"| {name} | {one['windows']} | {one['bytes'] / 1e6:,.0f} | {one['seconds']:.0f} |")
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    head = (
        f"**A picture of {found['width']}x{found['height']} px enlarged {found['scale']} times by the code of a model "
        f"card**, with an RRDBNet of {found['blocks']} blocks, {found['channels']} channels and drawn weights in "
        f"onnxruntime, with {threads} of {machine['cores']} cores ({machine['cpu']}), which other processes used too. "
        f"Windows of {tiles['window'][0]} px, {tiles['overlap']} px of each inner side not used, as measured at "
        "export. The two results differ by at most "
        f"{found['largest difference']:.2g}, of outputs from {found['range'][0]:.2f} to {found['range'][1]:.2f}. "
        f"Memory is the peak of the process, libraries and weights included. `{found['command']}`"
    )
    return "\n".join([head, "", *rows])


if __name__ == "__main__":
    main()
