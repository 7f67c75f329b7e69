"""Runs of CycleGANAS on tiny images, for its tests."""

from pathlib import Path

import torch

from slimgen import stages
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.methods.cyclegan_nas.options import SupernetOptions
from slimgen.recipe import Recipe, section
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_cyclegan_nas.yaml").read_text())
CPU = Compute(torch.device("cpu"))


def run_until(stage: str, folder: Path) -> Path:
    """A run of the tiny recipe in a folder, up to a stage: the run's own folder."""
    write(folder / "images", seed=0, train=12, night=10, test=3, size=32, layout="unpaired")
    stages.run(TINY, data=folder / "images", out=folder / "run", progress=quiet, until=stage)
    return folder / "run"


def folders(run: Path, *names: str) -> dict[str, Path]:
    return {name: run / name for name in ("prepare", "teach", *names)}


def options_of(recipe: Recipe) -> SupernetOptions:
    return section(SupernetOptions, recipe.supernet, "supernet")


def job_of(run: Path, recipe: Recipe, out: Path = Path()) -> Job:
    task = open_task(recipe, CPU)
    data = Prepared.open(run / "prepare")
    return Job(recipe, CPU, task, data, folders(run, "supernet"), out, lambda name: Journal(), quiet)
