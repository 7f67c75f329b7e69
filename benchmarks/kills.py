"""Kills `slimgen run` with SIGKILL and compares what it ends with to a run left alone.

    python -m benchmarks.kills --data data --kills 12

The recipe is `townhouses-cf_gan` made short, or the one that is named. Every other death is at a random moment; the
others are aimed at the steps by which results appear: just before a file or folder is renamed, made or removed. The
run's folder holds a finished run of another seed from the start, so that every stage is replaced and what was there is
parked. Each line says in which stage the process died, and how. The genotype must be the same, and every weight, bit
for bit; all that was there before must still be there, whole; and nothing may be left half written.
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
    parser.add_argument("--recipe", help="a preset or a file, as it is; by default townhouses-cf_gan made short")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In folders of their own: runs beside each other share what they have in common.
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
    print(f"lost of before: {lost or 'none'}; half written: {left or 'none'}")
    sys.exit(not equal)


def die(arguments: argparse.Namespace, killed: Path, whole: float, steps: int) -> list[tuple[str, bool]]:
    """Runs and kills, until that has been done often enough or a run came to its end; where each died, and if aimed."""
    rng, deaths = random.Random(arguments.seed), list[tuple[str, bool]]()
    while len(deaths) < arguments.kills:
        aimed = len(deaths) % 2 == 1
        # A third of the whole run on average, so that late stages are reached too.
        step = rng.randrange(1, 2 + 4 * steps // arguments.kills) if aimed else 0
        process = run(arguments, killed, step)
        try:
            # Starting takes seconds.
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
    """Runs to the end, and counts the steps that a death can be aimed at."""
    counted = out.parent / "steps"
    code = run(arguments, out, 0, *settings, counted=counted).wait()
    if code:
        sys.exit(f"the run into {out} ended with {code}")
    return int(counted.read_text())


def run(
    arguments: argparse.Namespace, out: Path, step: int, *settings: str, counted: Path | None = None
) -> "subprocess.Popen[bytes]":
    """`slimgen run` in a process group of its own; it dies before its so many-th step, if that is not 0."""
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
    """The command `slimgen`, in a process that may be about to die."""
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
    """The stage that was under way: the first that has not finished with the settings of the last."""
    seeds = {stage: read_record(out / stage) for stage in STAGES}
    return next((stage for stage, one in seeds.items() if not one.get("finished") or one.get("seed") != 0), "none")


def parked(out: Path) -> list[str]:
    """The stages whose results of before are beside those of now, whole."""
    found = [path for path in out.iterdir() if is_parked(path) and read_record(path).get("seed") == 1]
    return [require_whole(path)["stage"] for path in found]


def half_written(out: Path) -> list[str]:
    """What is left in the folders of stages and beside them that no reader knows."""
    left = [path for path in out.rglob("*") if HALF_WRITTEN.search(path.name) or path.name.endswith(".partial")]
    begun = [path for path in out.iterdir() if is_parked(path) and not read_record(path).get("finished")]
    return [str(path.relative_to(out)) for path in (*left, *begun)]


def same(one: Path, two: Path, name: str) -> bool:
    """Whether two runs left the same weights, bit for bit."""
    first, second = (load_weights(out / f"{name}.safetensors") for out in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


if __name__ == "__main__":
    mortal() if "DIE_AT" in os.environ else main()
