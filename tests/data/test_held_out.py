"""Images held out of train to test on, where a data set has none: every kind of data set, by one rule."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.conversion import Setting
from slimgen.data.label_maps import Classes
from slimgen.data.layouts import find_pairs
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepare_translation import prepare_labels, prepare_pairs, prepare_unpaired
from slimgen.data.prepared import Manifest, Prepared
from slimgen.errors import DataError
from slimgen.recipe import Recipe
from slimgen.tasks.task import setting_of

SETTING = Setting(size=8, load=8, validation=3, seed=0, test=4)
FOLDERS = {"pairs": ["{}"], "sets": ["{}A", "{}B"], "labels": ["{}_label", "{}_img"], "images": ["{}"]}
KINDS = list(FOLDERS)


def put(folder: Path, kind: str, split: str, count: int, start: int = 0) -> Path:
    """So many images of a split, each of one grey, numbered from `start`."""
    for pattern in FOLDERS[kind]:
        where = folder / pattern.format(split)
        where.mkdir(parents=True)
        for number in range(start, start + count):
            shape = (8, 16 if kind == "pairs" else 8, 3)
            array = np.zeros((8, 8), np.uint8) if "label" in pattern else np.full(shape, number, np.uint8)
            Image.fromarray(array).save(where / f"{number:03d}.png")
    return folder


def prepare(kind: str) -> Callable[[Path, Path, Setting], Manifest]:
    return {
        "pairs": prepare_pairs,
        "sets": prepare_unpaired,
        "labels": lambda *given: prepare_labels(*given, classes=Classes(1), instances=False),
        "images": prepare_images,
    }[kind]


def names(manifest: Manifest, which: str = "input") -> dict[str, set[str]]:
    return {name: set(split.rows(which)) for name, split in manifest.splits.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_test_images_are_held_out_of_train_apart_from_validation_images(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "in", kind, "train", 12)
    manifest = prepare(kind)(folder, tmp_path / "out", SETTING)
    assert (manifest.test, manifest.validation) == (4, 3)
    assert Prepared.open(tmp_path / "out", verify=True).manifest == manifest
    for which in ("input", "target"):
        found = names(manifest, which)
        assert {name: len(rows) for name, rows in found.items()} == {"train": 5, "val": 3, "test": 4}
        assert len(set.union(*found.values())) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_seed_chooses_the_held_out_images(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "in", kind, "train", 12)
    tests = [
        names(prepare(kind)(folder, tmp_path / f"{number}", replace(SETTING, **change)))["test"]
        for number, change in enumerate(({}, {"validation": 5}, {"seed": 1}))
    ]
    assert tests[0] == tests[1] != tests[2]
    assert prepare(kind)(folder, tmp_path / "again", SETTING) == Prepared.open(tmp_path / "0").manifest


def test_a_smaller_test_set_is_a_part_of_a_larger_one(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", "pairs", "train", 12)
    few, more = (
        names(prepare_pairs(folder, tmp_path / f"{test}", replace(SETTING, test=test)))["test"] for test in (2, 4)
    )
    assert few < more


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_with_a_test_split_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    folder = put(put(tmp_path / "in", kind, "train", 12), kind, "test", 2, start=50)
    with pytest.raises(
        DataError, match=r"data\.test must be left out for a data set with a test split; got 4 and 2 test .*remove"
    ) as line:
        prepare(kind)(folder, tmp_path / "out", SETTING)
    assert "\n" not in str(line.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_images_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "in", kind, "train", 7)
    left = r"data\.validation must be fewer than the 3 training .* that remain beside 4 test .*got 3"
    for setting, line in (
        (SETTING, left),
        (replace(SETTING, test=7), r"^data\.test must be fewer than the 7 training .*got 7"),
    ):
        with pytest.raises(DataError, match=line):
            prepare(kind)(folder, tmp_path / "out", setting)


def test_a_validation_split_is_kept_and_not_used_as_test_images(tmp_path: Path) -> None:
    folder = put(put(tmp_path / "in", "pairs", "train", 12), "pairs", "val", 2, start=50)
    found = names(prepare_pairs(folder, tmp_path / "out", SETTING))
    assert found["val"] == {"050.png", "051.png"}
    assert {name: len(rows) for name, rows in found.items()} == {"train": 8, "val": 2, "test": 4}


def test_images_are_held_out_of_each_of_two_sets_and_partners_stay_together(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", "sets", "train", 12)
    assert prepare_unpaired(folder, tmp_path / "same", SETTING).splits["test"].paired
    shutil.rmtree(folder / "trainB")
    put(tmp_path / "more", "sets", "train", 20, start=100)
    (tmp_path / "more" / "trainB").rename(folder / "trainB")
    manifest = prepare_unpaired(folder, tmp_path / "other", SETTING)
    counts = {
        which: {name: len(rows) for name, rows in names(manifest, which).items()} for which in ("input", "target")
    }
    assert counts == {"input": {"train": 5, "val": 3, "test": 4}, "target": {"train": 13, "val": 3, "test": 4}}


def test_images_without_a_test_split_have_a_tenth_held_out(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", "images", "train", 20)
    manifest = prepare_images(folder, tmp_path / "out", replace(SETTING, test=None))
    assert (manifest.splits["test"].count, manifest.test) == (2, 0.1)


def test_a_data_set_without_test_images_is_refused_unless_data_test_is_set(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", "pairs", "train", 12)
    with pytest.raises(DataError, match=r"must have test images; got only train/; add test or val, or set data\.test"):
        find_pairs(folder, "AtoB")
    recipe = Recipe.parse(
        "{name: a, task: paired, method: cf_gan, data: {test: 4}, teach: {updates: 1}, finetune: {updates: 1}}"
    )
    assert setting_of(recipe).test == 4
