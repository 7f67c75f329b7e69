"""A task is one file and one line of `TASKS`: the example, entered as if it came with slimgen."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.errors import RecipeError
from slimgen.recipe import Recipe
from slimgen.tasks import TASKS, check_recipe
from slimgen.tasks.embedded import find_images
from townhouses import write

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text(), "tiny")


@pytest.fixture(autouse=True)
def a_fifth_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "colours", "examples.own_task:Colours")


def test_the_command_line_accepts_the_task(tmp_path: Path) -> None:
    write(tmp_path / "images", seed=0, train=4, test=1, size=32, layout="images")
    words = ["data", "check", str(tmp_path / "images"), "--task", "colours", "--json"]
    assert json.loads(CliRunner().invoke(app, words).stdout)["images"] == {"train": 4, "test": 1}


def test_its_traits_refuse_keys_and_draw_its_pictures(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("slimgen.tasks.embedded.TRAIN", 2)
    monkeypatch.setattr("slimgen.tasks.embedded.TEST", 1)
    monkeypatch.chdir(tmp_path)
    recipe = TINY.override(["task=colours", "data={embedded: townhouses}", "size=32"])
    check_recipe(recipe)
    assert find_images(recipe, None, tmp_path / "run", report=print).name == "townhouses-images-32"
    with pytest.raises(RecipeError, match=r"data\.classes has no effect in the task colours"):
        check_recipe(recipe.override(["data.classes=3"]))
