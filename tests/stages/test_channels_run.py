"""Grey pictures such as MNIST's, and such of four bands, through all seven stages: from one to the other."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from slimgen import stages
from slimgen.errors import RecipeError
from slimgen.recipe import Recipe
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parents[1] / "tasks" / "tiny_unpaired.yaml").read_text()).override(
    ["task=paired", "data.validation=2", "teach.updates=2", "supernet.updates=2", "losses.gan=hinge"]
)
pytestmark = pytest.mark.usefixtures("untracked")


def digit(number: int) -> np.ndarray:
    """A grey picture of 28 x 28 with a stroke and a ring, as written digits have; uint8."""
    y, x = np.mgrid[:28, :28] - 13.5
    ring = np.abs(np.hypot(x - number % 5, y + number % 3) - 6)
    stroke = np.abs(x * np.cos(number) + y * np.sin(number))
    return (255 * np.clip(2 - np.minimum(ring, stroke), 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, and of each four bands that it decides."""
    folder = tmp_path_factory.mktemp("digits")
    for split, numbers in (("train", range(6)), ("test", range(6, 9))):
        for side in "AB":
            (folder / f"{split}{side}").mkdir()
        for number in numbers:
            grey = digit(number)
            Image.fromarray(grey).save(folder / f"{split}A" / f"{number}.png")
            bands = np.stack([grey, 255 - grey, grey // 2, np.roll(grey, 3, 0)], 2)
            np.save(folder / f"{split}B" / f"{number}.npy", bands)
    return folder


def test_grey_becomes_four_bands_through_all_seven_stages(pictures: Path, tmp_path: Path) -> None:
    done = stages.run(TINY, data=pictures, out=tmp_path, progress=quiet)
    assert done["evaluate"]["found.psnr"] > 0
    report = (tmp_path / "evaluate/report.html").read_text()
    assert "pictures of 4 channels are shown by the first three of them" in report
    assert "channels of target" in report
    session = onnxruntime.InferenceSession(tmp_path / "export/generator.onnx")
    made = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 1, 24, 32), np.float32)})[0]
    assert made.shape == (1, 4, 24, 32)
    card = (tmp_path / "export/card.md").read_text()
    assert "float32 in [-1, 1], grey" in card
    assert "float32 in [-1, 1], 4 channels" in card
    networks = json.loads((tmp_path / "finetune/networks.json").read_text())
    assert {(one["options"]["inputs"], one["options"]["outputs"]) for one in networks.values()} == {(1, 4)}


def test_a_recipe_with_other_channels_ends_before_anything_is_trained(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"teach\.generator\.outputs must be 4, the channels of the prepared target pictures; got 3"
    ):
        stages.run(TINY.override(["teach.generator.outputs=3"]), data=pictures, out=tmp_path, progress=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["prepare"]
