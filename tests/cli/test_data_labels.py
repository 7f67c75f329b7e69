import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from slimgen.cli.app import app
from townhouses import CLASSES, scene


@pytest.fixture
def slimgen():
    def call(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def test_label_maps_are_drawn_and_checked(slimgen, tmp_path):
    made = slimgen("data", "townhouses", tmp_path / "a", "--train", 3, "--test", 1, "--size", 32, "--layout", "labels")
    assert "labels" in made.stdout
    found = json.loads(slimgen("data", "check", tmp_path / "a", "--task", "labels", "--json").stdout)
    highest = max(int(scene(0, index, 32).labels.max()) for index in range(4))
    assert found == {
        "layout": "label maps and images",
        "maps": {"train": 3, "test": 1},
        "shapes": [[32, 32]],
        "unmatched": [],
        "classes": highest + 1,
        "unknown": False,
        "rejected": {},
    }
    assert found["classes"] <= len(CLASSES)


def test_a_check_names_unusable_files_and_unknown_classes(slimgen, tmp_path):
    slimgen("data", "townhouses", tmp_path / "a", "--train", 3, "--test", 1, "--size", 32, "--layout", "labels")
    maps, images = tmp_path / "a" / "train_label", tmp_path / "a" / "train_img"
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(maps / "00000.png")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(maps / "00001.png")
    (images / "00002.png").unlink()
    said = slimgen("data", "check", tmp_path / "a", "--task", "labels").stdout
    assert "maps      train 2, test 1" in said
    assert "and unknown" in said
    assert "unmatched 1: train_label/00002.png" in said
    assert "train_label/00001.png is RGB, but label maps must hold ids" in said
    small = json.loads(slimgen("data", "check", tmp_path / "a", "--task", "labels", "--size", 33, "--json").stdout)
    assert "smaller than the crop of 33 x 33" in small["rejected"]["train_label/00000.png"]
    assert slimgen("data", "check", tmp_path / "a", "--task", "labels", "--instances").exit_code == 2
