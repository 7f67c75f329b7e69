"""A tuned candidate learns from what its task holds for true; a recipe that leaves it nothing is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slimgen.device import Compute
from slimgen.errors import RecipeError
from slimgen.methods import cf_gan, tuning
from slimgen.methods.tuning import Tuning
from slimgen.recipe import Recipe, Schedule
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.tasks.unpaired import Unpaired

TESTS = Path(__file__).parents[1]


def test_without_pairs_the_originals_output_is_the_target(monkeypatch, tmp_path) -> None:
    recipe, trained = Recipe.parse((TESTS / "tasks" / "tiny_unpaired.yaml").read_text()), []
    monkeypatch.setattr(Unpaired, "truth", lambda task, teach: lambda batch: (teach, batch))
    monkeypatch.setattr(tuning, "train_gan", lambda job, training: trained.append((job, training)) or nn.Identity())
    compute = Compute(torch.device("cpu"))
    parts = {"data": SimpleNamespace(), "journal": lambda name: None, "tell": lambda *told: None}
    inputs = {"teach": tmp_path / "teach"}
    job = Job(recipe=recipe, compute=compute, task=open_task(recipe, compute), inputs=inputs, out=tmp_path, **parts)
    tuned = Tuning(job, "tune", Schedule(updates=2), 2)
    for name in ("a", "b"):
        tuned.train(Genotype({"name": name}), nn.Identity())
    for inner, training in trained:
        assert training.guidance.truth("batch") == (tmp_path / "teach", "batch")
        assert inner.recipe.losses.adversarial == inner.task.recipe.losses.adversarial == 0
    assert len(trained) == 2
    assert job.recipe.losses.adversarial > 0


def test_tuning_needs_a_loss_that_is_not_adversarial() -> None:
    tiny = Recipe.parse((TESTS / "stages" / "tiny.yaml").read_text()).override(["losses.recon=0", "search.tune=2"])
    with pytest.raises(RecipeError, match=r"search\.tune trains candidates by losses\.recon"):
        cf_gan.check(tiny)
