"""Kill `slimgen run` with SIGKILL again and again, and compare its final results with an undisturbed run's.

    python -m benchmarks.kills --data data --kills 12

The recipe is a short `townhouses-cf_gan`, or a given one. Every other kill is at a random moment; the others are aimed
at the steps that publish results: just before a file or folder is renamed, created or removed. At the start the run's
folder holds a finished run with another seed, so every stage is replaced and its old results are parked. Each line of
output names the stage in which the process was killed, and how. The genotype must be the same and every weight equal
bit for bit; all old results must still be there, complete; and no file may be left half written.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from benchmarks.results import save
from slimgen.nets.weights import load_weights
from slimgen.run.place import is_parked
from slimgen.run.record import HALF_WRITTEN, read_record, require_whole
from slimgen.stages.table import STAGES

SHORT = (
    *(
        "compute.checkpoint_seconds=0.5",
        "size=32",
        "teach.updates=400",
        "teach.discriminator.layers=2",
        "supernet.updates=160",
    ),
    *("search.evaluations=168", "search.operator_share=0.43", "finetune.updates=300"),
)
BEFORE = (
    *("seed=1", "teach.updates=4", "supernet.updates=8", "finetune.updates=4"),
    *("search.evaluations=60", "search.operator_share=0.6"),
)
WEIGHTS = (
    *("teach/generator", "teach/discriminator", "supernet/generator", "supernet/discriminator"),
    *("finetune/found", "finetune/narrowed"),
)
STEPS = ("rename", "replace", "unlink", "mkdir", "rmdir", "link")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--recipe", help="a preset or a file; by default a short townhouses-cf_gan")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In separate parent folders: runs in one folder share equal stages.
        alone, killed = Path(folder) / "one" / "alone", Path(folder) / "other" / "killed"
        finish(arguments, alone, *(("seed=1",) if arguments.recipe else BEFORE))
        shutil.copytree(alone, killed)
        started = time.monotonic()
        steps = finish(arguments, alone)
        deaths = die(arguments, killed, time.monotonic() - started, steps)
        finish(arguments, killed)
        differing = [name for name in WEIGHTS if not same(alone, killed, name)]
        keys = [json.loads((out / "search" / "genotype.json").read_text())["key"] for out in (alone, killed)]
        lost, left = sorted(set(STAGES) - set(parked(killed))), half_written(killed)
    equal = not differing and keys[0] == keys[1] and not lost and not left
    save(
        "kills",
        {
            "recipe": arguments.recipe or ["townhouses-cf_gan", *SHORT],
            "kills": len(deaths),
            "died in": dict(Counter(stage for stage, _ in deaths)),
            "aimed at a step": sum(aimed for _, aimed in deaths),
            "steps of a run": steps,
            "genotypes": keys,
            "weights compared": WEIGHTS,
            "weights differing": differing,
            "results of before that are lost": lost,
            "files half written": left,
            "equal": equal,
        },
    )
    print(f"{len(deaths)} kills; genotypes {' and '.join(keys)}; differing weights: {differing or 'none'}")
    print(f"old results lost: {lost or 'none'}; half written: {left or 'none'}")
    sys.exit(not equal)


def die(arguments: argparse.Namespace, killed: Path, whole: float, steps: int) -> list[tuple[str, bool]]:
    """Run and kill until enough kills or a finished run; return each kill's stage and whether it was aimed."""
    rng, deaths = random.Random(arguments.seed), list[tuple[str, bool]]()
    while len(deaths) < arguments.kills:
        aimed = len(deaths) % 2 == 1
        # A third of the whole run on average, so that late stages are also reached.
        step = rng.randrange(1, 2 + 4 * steps // arguments.kills) if aimed else 0
        process = run(arguments, killed, step)
        try:
            # The start-up takes seconds.
            process.wait(None if aimed else rng.uniform(3.0, 3.0 + 2 * whole / arguments.kills))
            if process.returncode != -signal.SIGKILL:
                break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        deaths.append((at_work(killed), aimed))
        print(f"kill {len(deaths)}: in {deaths[-1][0]}, {'before a step' if aimed else 'anywhere'}", flush=True)
    return deaths


def finish(arguments: argparse.Namespace, out: Path, *settings: str) -> int:
    """Run to the end and count the steps that a kill can be aimed at."""
    counted = out.parent / "steps"
    code = run(arguments, out, 0, *settings, counted=counted).wait()
    if code:
        sys.exit(f"the run into {out} failed with exit code {code}")
    return int(counted.read_text())


def run(
    arguments: argparse.Namespace, out: Path, step: int, *settings: str, counted: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Start `slimgen run` in its own process group; it kills itself before the given step, if that is not 0."""
    recipe, short = (arguments.recipe, ()) if arguments.recipe else ("townhouses-cf_gan", SHORT)
    words = [part for setting in (*short, *settings) for part in ("--set", setting)]
    command = [sys.executable, "-m", "benchmarks.kills", "run", recipe, "--data", str(arguments.data)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{out.parent}/mlflow.db", "DIE_AT": str(step)}
    out.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [*command, "--out", str(out), *words],
        env={**environment, "COUNT_IN": str(counted or os.devnull)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def mortal() -> None:
    """Run the command `slimgen` in a process that kills itself at a given step."""
    last, steps, counted = int(os.environ["DIE_AT"]), 0, os.environ["COUNT_IN"]

    def dying(call):  # type: ignore[no-untyped-def]
        def step(*arguments, **options):  # type: ignore[no-untyped-def]
            nonlocal steps
            steps += 1
            if steps == last:
                os.killpg(0, signal.SIGKILL)
            return call(*arguments, **options)

        return step

    for name in STEPS:
        setattr(os, name, dying(getattr(os, name)))
    from slimgen.cli import main as slimgen

    try:
        slimgen()
    finally:
        Path(counted).write_text(str(steps))


def at_work(out: Path) -> str:
    """Return the stage that was running: the first one without finished results of the current settings."""
    seeds = {stage: read_record(out / stage) for stage in STAGES}
    return next((stage for stage, one in seeds.items() if not one.get("finished") or one.get("seed") != 0), "none")


def parked(out: Path) -> list[str]:
    """Return the stages whose old results are parked beside the new ones, complete."""
    found = [path for path in out.iterdir() if is_parked(path) and read_record(path).get("seed") == 1]
    return [require_whole(path)["stage"] for path in found]


def half_written(out: Path) -> list[str]:
    """Return the unexpected files in the stages' folders and beside them."""
    left = [path for path in out.rglob("*") if HALF_WRITTEN.search(path.name) or path.name.endswith(".partial")]
    begun = [path for path in out.iterdir() if is_parked(path) and not read_record(path).get("finished")]
    return [str(path.relative_to(out)) for path in (*left, *begun)]


def same(one: Path, two: Path, name: str) -> bool:
    """Return whether two runs have the same weights, bit for bit."""
    first, second = (load_weights(out / f"{name}.safetensors") for out in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


if __name__ == "__main__":
    mortal() if "DIE_AT" in os.environ else main()
