"""Adding a task takes one file, `fifth_task.py`, and one line, which is patched in here."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from slimgen import stages
from slimgen.cli.app import app
from slimgen.data.prepared import Prepared
from slimgen.errors import RecipeError
from slimgen.recipe import Recipe
from slimgen.tasks import TASKS, check_recipe
from slimgen.tasks.embedded import find_images
from townhouses import write

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text(), "tiny")


@pytest.fixture(autouse=True)
def a_fifth_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "colouring", "tests.tasks.fifth_task:Colouring")


def quiet(what, done, total, values) -> None:
    """Says nothing."""


def test_a_new_task_goes_from_a_folder_to_a_report(tmp_path: Path) -> None:
    write(tmp_path / "images", seed=0, train=12, test=3, size=32, layout="images")
    recipe = TINY.override(["task=colouring", "data.direction=AtoB"])
    metrics = stages.run(recipe, data=tmp_path / "images", out=tmp_path / "run", progress=quiet)
    test = Prepared.open(tmp_path / "run" / "prepare").split("test")
    assert np.abs(test.input.astype(int).mean(3) - test.target.astype(int).mean(3)).max() < 1
    assert "found.psnr" in metrics["evaluate"]
    assert "colouring" in (tmp_path / "run" / "export" / "card.md").read_text()


def test_the_command_line_knows_it(tmp_path: Path) -> None:
    write(tmp_path / "images", seed=0, train=4, test=1, size=32, layout="images")
    words = ["data", "check", str(tmp_path / "images"), "--task", "colouring", "--json"]
    assert json.loads(CliRunner().invoke(app, words).stdout)["images"] == {"train": 4, "test": 1}


def test_its_keys_are_refused_and_its_pictures_drawn_as_it_says(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("slimgen.tasks.embedded.TRAIN", 2)
    monkeypatch.setattr("slimgen.tasks.embedded.TEST", 1)
    monkeypatch.chdir(tmp_path)
    recipe = TINY.override(["task=colouring", "data.embedded=townhouses", "size=32"])
    assert find_images(recipe, None, tmp_path / "run", report=print).name == "townhouses-images-32"
    with pytest.raises(RecipeError, match=r"data\.classes of a recipe has no effect in the task colouring"):
        check_recipe(recipe.override(["data.classes=3"]))
