"""A clean environment: what installing the built wheel and a first run take there, and whether the sdist is the same.

    python -m build --outdir dist . && python -m benchmarks.install dist [--python PYTHON] [--pip="--constraint FILE"]

`make wheel` does both. The environment is new, in a temporary folder, with nothing but the wheel and what it needs;
git, DVC and Kubeflow are out of reach. Commands run in an empty folder, and the first that fails ends the benchmark.
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

RUN = "townhouses-cf_gan"
Seconds = tuple[float, float]
"""What a step took by the clock, and of processors: on a busy machine the latter tells more."""
EXAMPLE = """
import re, slimgen
block = re.search(r"\\n\\n((?: {4,}.*\\n|\\n)+)", slimgen.__doc__)[1]
exec("\\n".join(line[4:] for line in block.splitlines()))
assert len(trials) == 200
"""
READ = f"""
import slimgen, torch
run = slimgen.open_run("runs/{RUN}-quick")
made = run.generator()(torch.zeros(1, 3, *run.recipe.size))
found, original = (run.metrics[f"{{name}}.psnr"] for name in ("found", "original"))
print(f"{{run.name}}: PSNR {{found:.2f}} of {{original:.2f}} dB, {{tuple(made.shape)}}, {{run.onnx.name}}")
"""
ABSENT = """
import shutil
from importlib.util import find_spec
print([name for name in ("dvc", "kfp") if find_spec(name)] + [name for name in ("dvc", "git") if shutil.which(name)])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path, help="the folder with the wheel and the sdist")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the new environment")
    parser.add_argument("--pip", default="", help="further options of pip install")
    parser.add_argument("--environment", type=Path, help="one that has the wheel already, instead of a new one")
    arguments = parser.parse_args()
    [wheel], [sdist] = (
        sorted(arguments.dist.resolve().glob(ending)) for ending in ("slimgen-*.whl", "slimgen-*.tar.gz")
    )
    print("| step | seconds | of a processor | |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        for step, (seconds, busy), said in steps(Path(place), wheel, sdist, arguments):
            print(f"| {step} | {seconds:.0f} | {busy:.0f} | {said} |", flush=True)


def steps(place: Path, wheel: Path, sdist: Path, options: argparse.Namespace) -> Iterator[tuple[str, Seconds, str]]:
    """Every step, with the seconds that it took and the last line that it printed."""
    venv, empty = (options.environment or place / "venv").resolve(), place / "empty"
    empty.mkdir()
    if options.environment is None:
        yield "python -m venv", *call([options.python, "-m", "venv", str(venv)], place)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", *shlex.split(options.pip), str(wheel)]
        yield f"pip install {wheel.name}", *call(pip, place)
    alone = {"PATH": str(venv / "bin"), "HOME": str(place), "LANG": "C.UTF-8"}
    alone |= {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    python, slimgen = str(venv / "bin" / "python"), str(venv / "bin" / "slimgen")
    _, said = call([python, "-c", ABSENT], empty, alone)
    if said != "[]":
        raise SystemExit(f"the environment must have neither DVC nor Kubeflow nor git; got {said}")
    for words in (("--version",), ("recipes",), ("data", "list"), ("profile", "resnet")):
        yield f"slimgen {' '.join(words)}", *call([slimgen, *words], empty, alone)
    yield "the search of `help(slimgen)`", *call([python, "-c", EXAMPLE], empty, alone)
    yield f"slimgen run {RUN} --quick", *call([slimgen, "run", RUN, "--quick"], empty, alone)
    yield "the run in Python", *call([python, "-c", READ], empty, alone)
    missing = subprocess.run(
        [python, "-m", "pipelines", "compile"], cwd=empty, env=alone, capture_output=True, text=True, check=False
    )
    if missing.returncode != 2 or "slimgen[kubeflow]" not in missing.stderr:
        raise SystemExit(f"without Kubeflow, one line must name its extra; got {missing.stderr}")
    again = place / "again"
    built = [options.python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(again), str(sdist)]
    yield "pip wheel of the sdist", *call(built, place)
    if listed(again / wheel.name) != listed(wheel):
        raise SystemExit("the wheel of the sdist must hold what the wheel holds")


def call(words: list[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[Seconds, str]:
    """Runs a command; the seconds that it took, and the last line of its stdout."""
    started, before = time.monotonic(), busy()
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    lines = done.stdout.strip().splitlines()
    return (time.monotonic() - started, busy() - before), lines[-1][:100].replace("|", "/") if lines else ""


def busy() -> float:
    """Seconds of processors that the commands have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def listed(wheel: Path) -> dict[str, int]:
    """The files in a wheel, with their checksums; but for the list of its files."""
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: one.CRC for one in archive.infolist() if not one.filename.endswith("/RECORD")}


if __name__ == "__main__":
    main()
