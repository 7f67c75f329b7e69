"""Kills runs, and compares what they end with to runs that were left alone.

    python -m benchmarks.kills --kills 40 --pipelines 12 --torchrun 6

Five parts are runs of a method each, of its smallest recipe with rivals. Its folder holds finished results of another
seed, which are replaced and kept. Every other death is at a random moment; the others are aimed: just before a rename
or the like, before a result is moved aside, during the training of a rival, in the first seconds of MLflow, which makes
its store then, and before what is written to that. In each stage SIGTERM is sent once. So that a death costs a second
and not five, processes are forked from one that has imported everything.

`dvc` and `kubeflow` are a `dvc repro` and a `python -m pipelines run` that are killed at random moments: together with
the stage at work, or alone, where the stage must end by itself. `torchrun` is a run by two ranks, one of which is
killed.

Whenever a run comes to its end, its outputs must be those of a run that was left alone, byte for byte, but for files
that hold milliseconds, of which every other figure must be the same; all that was there before must still be there,
whole; and nothing may be left: no process, half-written file, checkpoint or stage that MLflow shows as unfinished.
"""

import argparse
import ast
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import dying
from benchmarks.dying import AIMED, ANYWHERE, ASIDE, MAKING, RIVAL, STEP, STORE, Aim
from benchmarks.killed_pipelines import COMMANDS, Repository, attack
from benchmarks.outcomes import at_work, left_behind, outcome, parked
from benchmarks.results import RESULTS, save
from slimgen.recipe import Recipe
from slimgen.run.record import require_whole
from slimgen.stages.table import STAGES
from townhouses import write

TESTS = Path(__file__).parents[1] / "tests"
RECIPES = {
    "cf_gan": (TESTS / "stages" / "tiny.yaml", ["finetune.rivals=[narrowed, random]", "finetune.random=1"]),
    "gan_compression": (TESTS / "methods" / "tiny_gan_compression.yaml", []),
    "co_evolution": (TESTS / "methods" / "tiny_co_evolution.yaml", ["finetune.rivals=[narrowed]"]),
    "alphagan": (TESTS / "methods" / "tiny_alphagan.yaml", []),
    "cyclegan_nas": (TESTS / "methods" / "tiny_cyclegan_nas.yaml", []),
}
"""Each method's smallest recipe, and what is set besides."""
SAVED = "compute.checkpoint_seconds=0.01"
PARTS = (*RECIPES, *COMMANDS)


@dataclass
class Part:
    """What was done to the runs of one part, and what was found when they had come to their end."""

    kills: Counter[str] = field(default_factory=Counter)
    died_in: Counter[str] = field(default_factory=Counter)
    sigterms: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    compared: int = 0
    differing: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """The part as it stands in the file of figures."""
        return {
            "kills": self.kills.total(),
            "how": dict(self.kills),
            "died in": dict(self.died_in),
            "SIGTERM in": dict(self.sigterms),
            "runs that came to their end": self.runs,
            "outputs compared": self.compared,
            "outputs differing": self.differing,
            "results of before that are lost": self.lost,
            "left behind": self.left,
        }

    def judge(self, run: Path, alone: Path) -> None:
        """Compare a run that came to its end, and replaced another's results, with one that was left alone."""
        one, two = outcome(run), outcome(alone)
        self.runs += 1
        self.compared += len(two)
        self.differing += sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
        self.left += left_behind(run)
        self.lost += sorted(set(STAGES) - {require_whole(path)["stage"] for path in parked(run)})

    def killed(self, how: str, stage: str) -> None:
        """Count a kill."""
        self.kills[how] += 1
        self.died_in[stage] += 1

    def tell(self, name: str) -> None:
        """Say how far it is."""
        found = self.differing + self.lost + self.left
        print(f"{name}: {self.kills.total()} kills, {self.runs} runs; {found or 'no difference'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="of each method's runs")
    parser.add_argument("--pipelines", type=int, default=12, help="of dvc repro, and of the local Kubeflow run")
    parser.add_argument("--torchrun", type=int, default=6, help="of one of two ranks")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="the others stay as they were")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    dying.warm_up()
    path = RESULTS / "kills.json"
    parts: dict[str, Any] = json.loads(path.read_text()).get("parts", {}) if path.exists() else {}
    for name in arguments.parts:
        rng, part = random.Random(f"{name} {arguments.seed}"), Part()
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            if name in RECIPES:
                methods_runs(name, Path(folder), part, arguments.kills, rng)
            else:
                kills = arguments.torchrun if name == "torchrun" else arguments.pipelines
                pipelines_runs(name, Path(folder), part, kills, rng)
        parts[name] = part.figures()
        save("kills", {"parts": {name: parts[name] for name in PARTS if name in parts}})
    outcomes = ("outputs differing", "results of before that are lost", "left behind")
    sys.exit(any(part[found] for part in parts.values() for found in outcomes))


def methods_runs(name: str, folder: Path, part: Part, kills: int, rng: random.Random) -> None:
    """Kill the runs of one method, one after the other, until that has been done often enough."""
    recipe, images = prepared(name, folder)
    alone, before = folder / "one" / "run", folder / "before" / "run"
    finish(recipe, images, before, "seed=1")
    shutil.copytree(before, alone)
    started = time.monotonic()
    counts = finish(recipe, images, alone)
    whole = time.monotonic() - started
    for number in count():
        killed = folder / f"other{number}" / "run"  # without a store, so that MLflow makes one
        shutil.copytree(before, killed)
        while part.kills.total() < kills and not die_once(recipe, images, killed, part, counts, whole, rng):
            pass
        finish(recipe, images, killed)
        part.judge(killed, alone)
        part.tell(name)
        shutil.rmtree(killed.parent)
        if part.kills.total() >= kills:
            return


def die_once(
    recipe: Path, images: Path, run: Path, part: Part, counts: Mapping[str, int], whole: float, rng: random.Random
) -> bool:
    """Start a run and have it die; return whether it came to its end instead."""
    store, said = run.parent / "mlflow.db", run.parent / "said"
    aim = chosen(at_work(run), part, store.exists(), counts, whole, rng)
    process = start(recipe, images, run, aim)
    status = dying.die(process, aim, store, rng)
    if not dying.gone(process):
        part.left.append(f"a process after {aim}")
    if status == 0:
        return True
    if status != (128 + aim.by if aim.by == signal.SIGTERM else -aim.by):
        sys.exit(f"{run} ended with {status} after {aim}: {said.read_text()[-3000:]}")
    if aim.by == signal.SIGTERM:
        part.sigterms[aim.kind] += 1
    else:
        part.killed(aim.kind, at_work(run))
    return False


def chosen(stage: str, part: Part, made: bool, counts: Mapping[str, int], whole: float, rng: random.Random) -> Aim:
    """How the next process of a run dies: every other one as aimed, of the kinds that were least often aimed at."""
    if stage in STAGES and stage not in part.sigterms:
        return Aim(stage, rng.randint(1, max(1, counts[stage] // 2)), by=signal.SIGTERM)
    if sum(part.kills[kind] for kind in AIMED) > part.kills[ANYWHERE]:
        return Aim(seconds=rng.uniform(0.0, whole / 6))
    possible = [STEP, ASIDE, STORE] if made else [MAKING]
    possible += [RIVAL] if stage == "finetune" else []
    kind = min(possible, key=lambda kind: (part.kills[kind], rng.random()))
    most = {MAKING: 1, ASIDE: 2, RIVAL: counts[RIVAL] // 2}.get(kind, counts[kind] // 12)
    return Aim(kind, rng.randint(1, max(1, most)))


def start(recipe: Path, images: Path, out: Path, aim: Aim, *settings: str) -> int:
    """Start `slimgen run` in a process that dies as aimed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    words = ["run", str(recipe), "--data", str(images), "--out", str(out)]
    words += [part for setting in settings for part in ("--set", setting)]
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{out.parent}/mlflow.db"}
    return dying.fork(words, environment, out.parent / "said", aim, out.parent / "steps")


def finish(recipe: Path, images: Path, out: Path, *settings: str) -> dict[str, int]:
    """Run to the end, and count the steps of each kind that a death can be aimed at."""
    status = dying.wait(start(recipe, images, out, Aim(), *settings))
    if status:
        sys.exit(f"the run into {out} ended with {status}: {(out.parent / 'said').read_text()[-2000:]}")
    counts: dict[str, int] = ast.literal_eval((out.parent / "steps").read_text())
    return {**dict.fromkeys((*AIMED, *STAGES), 0), **counts}


def prepared(name: str, folder: Path) -> tuple[Path, Path]:
    """A method's recipe as a file, and the images that it is of."""
    path, own = RECIPES[name]
    recipe, images = Recipe.parse(path.read_text()).override([*own, SAVED]), folder / "images"
    if recipe.task == "unpaired":
        write(images, seed=0, train=9, night=7, test=3, size=32, layout="unpaired")
    elif recipe.task == "unconditional":
        write(images, seed=0, train=20, test=4, size=32, layout="images")
        recipe = recipe.override(["evaluate.metrics=['fd:tiny']", f"evaluate.features={{tiny: {features(folder)}}}"])
    else:
        write(images, seed=0, train=16, test=8, size=32)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    return folder / "recipe.yaml", images


def features(folder: Path) -> str:
    """A feature network with one layer, in place of Inception, whose weights may not be here; as a setting."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 5, stride=3), nn.ReLU())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), folder / "tiny.pt")
    return f"{{path: {folder / 'tiny.pt'}}}"


def pipelines_runs(how: str, folder: Path, part: Part, kills: int, rng: random.Random) -> None:
    """Kill DVC, Kubeflow or torchrun amid the smallest recipe, until that has been done often enough."""
    path, images = prepared("cf_gan", folder)
    before = Repository(folder / "before", Recipe.parse(path.read_text()), images)
    before.ask_for(seed=1)
    before.finish(how)
    before.ask_for(seed=0)
    alone = folder / "one" / before.run.name  # the name of a run is in its card
    left_alone = before.copy(folder / "alone")
    seconds = left_alone.finish(how)
    if how == "torchrun":  # which rounds otherwise than one process does
        alone = left_alone.run
    else:
        finish(path, images, alone)

    def more(kind: str, stage: str) -> bool:
        part.killed(kind, stage)
        return part.kills.total() < kills

    for number in count():
        killed = before.copy(folder / f"other{number}")
        part.left += [*attack(how, killed, seconds / 3, rng, more), *killed.left_behind()]
        part.judge(killed.run, alone)
        part.tell(how)
        shutil.rmtree(killed.home)
        if part.kills.total() >= kills:
            return


if __name__ == "__main__":
    main()
