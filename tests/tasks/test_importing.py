"""Originals that were trained elsewhere: tried at the start, noted, and doubted where pictures say otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.errors import CheckpointError, RecipeError
from slimgen.files import sha256_file
from slimgen.nets import build_generator
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.stages.fingerprint import named_files, sections
from slimgen.stages.outlook import check, wanted
from slimgen.stages.table import STAGES
from slimgen.tasks import open_task, task_class
from slimgen.tasks.importing import doubted
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text()).override(["data.direction=AtoB"])
CPU = choose("fp32", "cpu")


def drawn(seed):
    return build_generator("resnet", seed=seed, ngf=8, blocks=1).state_dict()


def darker(folder: Path) -> None:
    """Pictures (A) with the same at half of their brightness (B): which is which is known in closed form."""
    draw = np.random.default_rng(0)
    for split, count in {"train": 6, "test": 2}.items():
        (folder / split).mkdir(parents=True)
        for number in range(count):
            bright = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            pair = np.concatenate([bright, bright // 2], axis=1)
            Image.fromarray(pair).save(folder / split / f"{number}.png")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("darker")
    darker(folder / "in")
    (folder / "out").mkdir()
    task_class(TINY.task).prepare(TINY, folder / "in", folder / "out", lambda done, total: None)
    return folder / "out"


def job(recipe: Recipe, prepared: Path, out: Path, said: list[str]) -> Job:
    out.mkdir(exist_ok=True)
    data, task = Prepared.open(prepared), open_task(recipe, CPU)
    return Job(recipe, CPU, task, data, {"prepare": prepared}, out, lambda name: Journal(), quiet, said.append)


def test_the_origin_of_an_imported_original_is_printed_and_recorded(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save({"params_ema": drawn(3), "params": drawn(4), "epoch": 2}, tmp_path / "c.pth")
    recipe, said = TINY.override(["teach.generator_checkpoint=~/c.pth"]), []
    check(recipe)
    work = job(recipe, prepared, tmp_path / "out", said)
    work.task.teach(work)
    left = load_weights(tmp_path / "out" / "generator.safetensors")
    assert all(torch.equal(left[name], tensor) for name, tensor in drawn(3).items())
    assert said == ["generator of c.pth: took params_ema"]
    noted = json.loads((tmp_path / "out" / "origin.json").read_text())
    file = {"file": "c.pth", "sha256": sha256_file(tmp_path / "c.pth")}
    assert noted == {"generator": {**file, "part": "params_ema", "notes": ["took params_ema"]}}
    assert list(named_files(STAGES["teach"], recipe).values()) == [sha256_file(tmp_path / "c.pth")]


def test_a_key_of_the_recipe_chooses_the_part_of_a_file(prepared, tmp_path):
    both = {f"netG_{name}.{key}": tensor for name, seed in (("A", 3), ("B", 4)) for key, tensor in drawn(seed).items()}
    torch.save({"state_dict": both}, tmp_path / "c.ckpt")
    recipe = TINY.override([f"teach.generator_checkpoint={tmp_path / 'c.ckpt'}"])
    with pytest.raises(
        CheckpointError, match=r"netG_A and state_dict\.netG_B; set teach\.generator_key \(or --key\) to one"
    ):
        check(recipe)
    recipe = recipe.override(["teach.generator_key=netG_B"])
    check(recipe)
    work = job(recipe, prepared, tmp_path / "out", [])
    work.task.teach(work)
    left = load_weights(tmp_path / "out" / "generator.safetensors")
    assert all(torch.equal(left[name], tensor) for name, tensor in drawn(4).items())


def test_weights_that_do_not_fit_are_refused_before_anything_is_computed(tmp_path):
    torch.save(build_generator("resnet", ngf=8, blocks=2).state_dict(), tmp_path / "c.pth")
    path = tmp_path / "c.pth"
    recipe = TINY.override([f"teach.generator_checkpoint={path}"])
    with pytest.raises(CheckpointError, match="blocks 1 expected, 2 found"):
        check(recipe)
    assert "blocks 1 expected" in str(wanted(recipe)[str(path)])
    discriminator = TINY.override([f"teach.discriminator_checkpoint={path}"])
    with pytest.raises(CheckpointError, match="weights of the same network"):
        check(discriminator)


def test_a_key_without_its_file_is_refused():
    with pytest.raises(RecipeError, match="'generator_key' names a part of 'generator_checkpoint', which is missing"):
        TINY.override(["teach.generator_key=params"])


def test_keys_that_are_not_given_leave_the_fingerprint_as_it_was():
    assert not [key for key in sections(STAGES["teach"], TINY)["teach"] if key.endswith("_key")]
    given = TINY.override(["teach.generator_checkpoint=c.pth", "teach.generator_key=params"])
    assert sections(STAGES["teach"], given)["teach"]["generator_key"] == "params"


def halving() -> nn.Module:
    """Makes the darker picture of a picture: levels / 2, in [-1, 1] x / 2 - 1 / 2."""
    net = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        net.weight.copy_(torch.eye(3)[:, :, None, None] / 2)
        net.bias.fill_(-0.5)
    return net


def test_a_generator_of_the_other_direction_gives_a_warning(prepared, tmp_path):
    right = job(TINY, prepared, tmp_path / "out", [])
    assert doubted(right, halving()) is None
    doubt = doubted(right, halving(), swapped=True)
    assert "turns targets into inputs" in doubt
    assert "set data.direction to BtoA" in doubt


def test_a_generator_that_fits_neither_direction_gives_no_warning(prepared, tmp_path):
    net = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.zero_()
    for swapped in (False, True):
        assert doubted(job(TINY, prepared, tmp_path / "out", []), net, swapped) is None
