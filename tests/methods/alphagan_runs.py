"""Runs of AlphaGAN on tiny images, for its tests."""

import atexit
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.methods.alphagan.algorithm import ARCHITECTURE, Counts, batches, phases, timetable
from slimgen.methods.alphagan.gradients import Gradients
from slimgen.methods.alphagan.options import SupernetOptions
from slimgen.methods.alphagan.players import players
from slimgen.recipe import Recipe, section
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, fit
from tests.quiet import quiet
from townhouses import write

CPU = Compute(torch.device("cpu"))
FEATURES = Path(tempfile.mkdtemp(prefix="slimgen-tiny-")) / "tiny.pt"
"""What the recipe measures by: every stage asks whether it is there."""
atexit.register(shutil.rmtree, FEATURES.parent, ignore_errors=True)


def tiny_features(path: Path) -> list[str]:
    """Write a feature network with one layer, and return the settings that use it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 5, stride=3), nn.ReLU())
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), path)
    return [f"evaluate.features={{tiny: {{path: {path}}}}}", "evaluate.metrics=['fd:tiny']"]


TINY = Recipe.parse((Path(__file__).parent / "tiny_alphagan.yaml").read_text()).override(tiny_features(FEATURES))


def run_until(stage: str, folder: Path) -> Path:
    """A run of the tiny recipe in a folder, up to a stage: the run's own folder."""
    write(folder / "images", seed=0, train=20, test=4, size=32, layout="images")
    stages.run(TINY, data=folder / "images", out=folder / "run", progress=quiet, until=stage)
    return folder / "run"


def folders(run: Path, *names: str) -> dict[str, Path]:
    return {name: run / name for name in ("prepare", "teach", *names)}


def job_of(run: Path, recipe: Recipe) -> Job:
    data = Prepared.open(run / "prepare")
    return Job(recipe, CPU, open_task(recipe, CPU), data, {}, Path(), lambda name: Journal(), quiet)


class Searching:
    """A search in memory: its players, phases and batches."""

    def __init__(self, run: Path, *settings: str, log: Path | None = None) -> None:
        recipe = TINY.override([f"supernet.{setting}" for setting in settings])
        self.options = section(SupernetOptions, recipe.supernet, "supernet")
        self.table, self.counts = timetable(self.options), Counts()
        self.job, self.averaged = job_of(run, recipe), 0
        self.those = players(self.job, self.options, len(self.table))
        self.said: list[str] = []
        self.gradients = Gradients(log, self.those.generator.relaxation, self.options.gap != "scores", self.said.append)
        those = self.job, self.options, self.those, self.table, self.counts, self.average, self.gradients
        self.phases = phases(*those)
        self.batches = batches(self.job, self.options, self.table)

    def average(self) -> None:
        self.averaged += 1

    def train(self, steps: int) -> None:
        fit(self.phases, fixed(Genotype({})), self.batches, steps, seed=0, compute=CPU, state={})

    def watched(self, steps: int) -> list[set[str]]:
        """Which modules' parameters each step changed."""
        found, parts = [], self.those.parts
        told = Journal(progress=lambda done, total, values: found.append(changed()), log_every=1)
        before = {name: copies(part) for name, part in parts.items()}

        def changed() -> set[str]:
            moved = {name for name, part in parts.items() if different(before[name], part)}
            before.update({name: copies(part) for name, part in parts.items()})
            return moved

        fit(self.phases, fixed(Genotype({})), self.batches, steps, seed=0, compute=CPU, state={}, journal=told)
        return found

    def batch(self):
        return self.batches[ARCHITECTURE](5)


def copies(part: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in part.parameters()]


def different(before: list[torch.Tensor], part: nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, part.parameters(), strict=True))
