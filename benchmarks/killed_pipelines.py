"""Runs by DVC, by Kubeflow on this machine and by torchrun, of which processes are killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks import dying
from benchmarks.outcomes import at_work
from slimgen.recipe import Recipe

ROOT = Path(__file__).parents[1]
COPIED = (".dvc", ".dvcignore", ".gitignore", "dvc.yaml", "core", "components", "pipelines")
COMMANDS = {
    "dvc": ("dvc", "repro"),
    "kubeflow": ("pipelines", "run", "params.yaml#recipes.tiny", "--data", "data", "--out", "runs"),
    "torchrun": (
        *("torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "slimgen"),
        *("run", "params.yaml#recipes.tiny", "--data", "data", "--out", "runs/tiny"),
    ),
}
WITH_STAGE, ALONE, RANK = "together with the stage at work", "without the stage at work", "one of two ranks"


class Repository:
    """A folder with what DVC and Kubeflow need of this one, images, and one recipe in params.yaml."""

    def __init__(self, home: Path, recipe: Recipe, images: Path) -> None:
        self.home, self.recipe, self.run = home, recipe, home / "runs" / "tiny"
        home.mkdir()
        for name in COPIED:
            _copy(ROOT / name, home / name)
        shutil.copytree(images, home / "data")
        self.run.parent.mkdir()
        subprocess.run(["git", "init", "--quiet", home], check=True)

    def copy(self, home: Path) -> "Repository":
        """Make the same repository with the same results elsewhere."""
        shutil.copytree(self.home, home)
        other = object.__new__(Repository)
        other.home, other.recipe, other.run = home, self.recipe, home / "runs" / "tiny"
        return other

    def ask_for(self, seed: int) -> None:
        """Write params.yaml, with every section of the recipe, each of which DVC watches; a default is none to it."""
        whole = yaml.safe_load(self.recipe.override([f"seed={seed}", "objective.metric=psnr"]).to_yaml())
        text = yaml.safe_dump({"recipes": {"tiny": {**whole, "name": "tiny"}}})
        (self.home / "params.yaml").write_text(text)

    def start(self, how: str) -> "subprocess.Popen[bytes]":
        """Start DVC, Kubeflow or torchrun in a session of its own."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {
            "HOME": str(self.home),
            "DVC_SITE_CACHE_DIR": str(self.home / ".site"),
            "PATH": path,
            "PYTHONPATH": str(self.home / "core"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.run.parent}/mlflow.db",
        }
        with (self.home / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", *COMMANDS[how]],
                cwd=self.home,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def finish(self, how: str) -> float:
        """Run to the end; return how many seconds that took."""
        started = time.monotonic()
        self.require(how, self.start(how).wait())
        return time.monotonic() - started

    def require(self, how: str, status: int) -> None:
        """End the benchmark, with what was said last, where a command did not do what it was to."""
        if status:
            sys.exit(f"{how} ended with {status}: {(self.home / 'said').read_text()[-3000:]}")

    def left_behind(self) -> list[str]:
        """Copies that Kubeflow hands from task to task, and that nobody needs any more."""
        return [str(path.relative_to(self.home)) for path in self.run.parent.glob(".artifacts-*")]


def kill_one(how: str, process: "subprocess.Popen[bytes]", rng: random.Random) -> str:
    """Kill what runs a pipeline, with or without its stage, or one of two ranks; return which."""
    if how == "torchrun":
        ranks = dying.children(process.pid)
        if len(ranks) == 2:
            os.kill(rng.choice(ranks), signal.SIGKILL)
        else:  # not started yet
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return RANK if len(ranks) == 2 else WITH_STAGE
    kind = rng.choice((WITH_STAGE, ALONE))
    (os.killpg if kind == WITH_STAGE else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    return kind


def attack(
    how: str, repository: Repository, seconds: float, rng: random.Random, tell: Callable[[str, str], bool]
) -> list[str]:
    """Start a pipeline and kill it, again and again, until it comes to its end; return what was left by the dead.

    Each lives for less than so many seconds. `tell` is given how and in which stage it died, and answers whether more
    may be killed.
    """
    left, more = list[str](), True
    while True:
        process = repository.start(how)
        try:
            status = process.wait(rng.uniform(0.2, 1.0) * seconds if more else None)
        except subprocess.TimeoutExpired:
            stage = at_work(repository.run)
            more = tell(kill_one(how, process, rng), stage)
            if not dying.gone(process.pid):
                left.append(f"a process of {how} that was killed in {stage}")
            continue
        repository.require(how, status)
        return left


def _copy(path: Path, to: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, to, ignore=shutil.ignore_patterns("cache", "tmp", "config.local", "store"))
    else:
        shutil.copy(path, to)
