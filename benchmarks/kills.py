"""Kills `slimgen run` with SIGKILL at random moments and compares what it ends with to a run left alone.

    python -m benchmarks.kills --data data --kills 12

The recipe is `townhouses-cf_gan` made short. Moments are drawn so that they spread over the run; each line says in
which stage the process died. The genotype must be the same, and every weight, bit for bit.
"""

import argparse
import json
import os
import random
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
from slimgen.run.record import read_record
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
WEIGHTS = (
    *("teach/generator", "teach/discriminator", "supernet/generator", "supernet/discriminator"),
    *("finetune/found", "finetune/narrowed"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In folders of their own: runs beside each other share what they have in common.
        alone, killed = Path(folder) / "one" / "alone", Path(folder) / "other" / "killed"
        started = time.monotonic()
        run(arguments.data, alone).wait()
        whole = time.monotonic() - started
        rng = random.Random(arguments.seed)
        deaths: list[str] = []
        while len(deaths) < arguments.kills:
            process = run(arguments.data, killed)
            # Starting takes seconds; a third of the whole run on average, so that late stages are reached too.
            time.sleep(rng.uniform(3.0, 3.0 + 2 * whole / arguments.kills))
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            deaths.append(at_work(killed))
            print(f"kill {len(deaths)}: in {deaths[-1]}", flush=True)
        code = run(arguments.data, killed).wait()
        differing = [name for name in WEIGHTS if not same(alone, killed, name)]
        keys = [json.loads((out / "search" / "genotype.json").read_text())["key"] for out in (alone, killed)]
    equal = code == 0 and not differing and keys[0] == keys[1]
    save(
        "kills",
        {
            "settings": SHORT,
            "seconds alone": whole,
            "kills": len(deaths),
            "died in": dict(Counter(deaths)),
            "genotypes": keys,
            "weights compared": WEIGHTS,
            "weights differing": differing,
            "equal": equal,
        },
    )
    print(f"{len(deaths)} kills; genotypes {' and '.join(keys)}; differing weights: {differing or 'none'}")
    sys.exit(not equal)


def run(data: Path, out: Path) -> "subprocess.Popen[bytes]":
    """`slimgen run` in a process group of its own."""
    settings = [part for setting in SHORT for part in ("--set", setting)]
    command = [sys.executable, "-m", "slimgen", "run", "townhouses-cf_gan", "--data", str(data), "--out", str(out)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{out.parent}/mlflow.db"}
    return subprocess.Popen(
        [*command, *settings],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def at_work(out: Path) -> str:
    """The stage that was under way: the first that has not finished."""
    return next((stage for stage in STAGES if not read_record(out / stage).get("finished")), "none")


def same(one: Path, two: Path, name: str) -> bool:
    """Whether two runs left the same weights, bit for bit."""
    first, second = (load_weights(out / f"{name}.safetensors") for out in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


if __name__ == "__main__":
    main()
