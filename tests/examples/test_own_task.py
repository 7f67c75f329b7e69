"""The user-defined task of the examples, through all stages: grey townhouses to colourful ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from examples.own_task import Colours
from slimgen import stages
from slimgen.errors import DataError, RecipeError
from slimgen.methods import open_method
from slimgen.recipe import Recipe, load
from slimgen.tasks import check_recipe, task_class
from tests.quiet import quiet
from townhouses import write

EXAMPLE = load(str(Path(__file__).parents[2] / "examples" / "own_task.yaml"))
TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text()).override(
    [
        f"task={EXAMPLE.task}",
        "data={validation: 4}",
        "search={population: 4, elite: 2, evaluations: 16, operator_share: 0.5}",
    ]
)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=12, test=3, size=32, layout="images")
    return folder


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    stages.run(TINY, data=images, out=out, progress=quiet)
    return out


def test_a_recipe_finds_it_by_its_import_path() -> None:
    assert task_class(EXAMPLE.task) is Colours
    check_recipe(EXAMPLE)
    open_method(EXAMPLE.method).check(EXAMPLE)


def test_what_has_no_effect_in_it_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"data\.direction has no effect in the task examples\.own_task"):
        check_recipe(EXAMPLE.override(["data.direction=AtoB"]))


def test_inputs_are_the_targets_without_their_colours(finished: Path) -> None:
    for split, count in (("train", 8), ("val", 4), ("test", 3)):
        grey, colours = (np.load(finished / "prepare" / f"{split}.{side}.npy") for side in ("input", "target"))
        assert grey.shape == colours.shape == (count, 16, 16, 3)
        assert (grey == grey[..., :1]).all()
        assert np.abs(grey[..., 0] - colours @ (0.299, 0.587, 0.114)).max() <= 0.5
        assert (colours != colours[..., :1]).any()


def test_it_goes_through_all_stages(finished: Path) -> None:
    rows = {row["name"]: row for row in json.loads((finished / "evaluate" / "table.json").read_text())["rows"]}
    assert rows["found"]["macs"]["exact"] <= rows["original"]["macs"]["exact"] / 4
    assert all(np.isfinite(row["metrics"]["psnr"]) for row in rows.values())
    assert (finished / "export" / "generator.onnx").is_file()
    assert "three equal channels" in (finished / "export" / "card.md").read_text()


def test_images_without_a_split_to_test_on_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in train/ and in test/"):
        stages.prepare(TINY, data=images / "train", out=tmp_path / "prepare", progress=quiet)
