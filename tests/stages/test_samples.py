"""Pictures that are drawn while a stage trains."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from slimgen.files import sha256_file
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.run.tracking import store, sync
from slimgen.stages.perform import perform
from slimgen.stages.samples import LEAST, every, untouched
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())


@pytest.fixture(scope="module")
def drawn(tiny_run, tmp_path_factory) -> Path:
    """The stages teach and finetune of the shared run, with a picture every other update."""
    run = tmp_path_factory.mktemp("drawn") / "run"
    for stage in ("prepare", "supernet", "search"):
        shutil.copytree(tiny_run / stage, run / stage)
    recipe = TINY.override(["compute.pictures_every=2"])
    perform("teach", recipe, out=run / "teach", prepare=run / "prepare", progress=quiet)
    folders = {name: run / name for name in ("prepare", "teach", "supernet", "search")}
    perform("finetune", recipe, out=run / "finetune", progress=quiet, **folders)
    return run


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def test_there_is_a_picture_every_so_many_updates_and_it_shows_what_the_generator_makes(drawn) -> None:
    assert pictures(drawn / "teach") == [f"log-teacher.000000{step}.png" for step in (2, 4, 6)]
    assert {name.partition(".")[0] for name in pictures(drawn / "finetune")} == {"log-found", "log-narrowed"}
    shown = [np.asarray(Image.open(drawn / "teach" / name)) for name in pictures(drawn / "teach")]
    assert shown[0].shape == shown[2].shape
    third = shown[0].shape[1] // 3
    assert not np.array_equal(shown[0][50:, 2 * third :], shown[2][50:, 2 * third :])  # the outputs differ
    assert np.array_equal(shown[0][50:, :third], shown[2][50:, :third])  # the inputs do not


def test_they_change_no_bit_of_a_result_and_no_fingerprint(drawn, tiny_run) -> None:
    for stage in ("teach", "finetune"):
        without, having = read_record(tiny_run / stage), read_record(drawn / stage)
        assert having["fingerprint"] == without["fingerprint"]
        assert having["outputs"] == without["outputs"]
        assert having["digest"] == without["digest"]
        assert not pictures(tiny_run / stage)
    for name in ("generator", "discriminator"):
        weights = f"teach/{name}.safetensors"
        assert sha256_file(drawn / weights) == sha256_file(tiny_run / weights)


def test_mlflow_has_each_of_them_once_by_step(drawn, template, tmp_path, monkeypatch) -> None:
    from slimgen.run.store import load_mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(template, tmp_path)}")
    for _ in range(2):
        sync(drawn / "teach")
    client = load_mlflow().MlflowClient(store())
    (run,) = client.search_runs(["1"], "tags.`slimgen.stage` = 'teach'")
    images = [Path(one.path).name for one in client.list_artifacts(run.info.run_id, "images")]
    full = sorted(name.split("+")[:3] for name in images if name.endswith(".png"))
    assert full == [["teacher", "step", str(step)] for step in (2, 4, 6)]
    assert json.loads(run.data.tags["mlflow.loggedImages"].lower()) is True
    assert not [one.path for one in client.list_artifacts(run.info.run_id) if one.path.startswith("log-")]


def test_a_short_training_draws_none_unless_it_is_asked_to() -> None:
    assert every(None, 6) == LEAST
    assert every(None, 200_000) == 20_000
    assert (every(0, 200_000), every(7, 200_000)) == (0, 7)


def test_modes_and_random_numbers_are_put_back_even_after_an_error() -> None:
    net = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3)).train()
    net[1].eval()
    before = torch.get_rng_state()
    with contextlib.suppress(ZeroDivisionError), untouched(net):
        assert not net[0].training
        torch.rand(9)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
    assert (net.training, net[0].training, net[1].training) == (True, True, False)
