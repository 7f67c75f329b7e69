"""Generators that are trained already, through evaluate and export in one command."""

import json
from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.data.batches import Pair
from slimgen.data.bicubic import imresize
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import RecipeError
from slimgen.files import sha256_file
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.psnr import psnr, psnr_y
from slimgen.nets import build_generator
from slimgen.report.words import REAL
from slimgen.size import Size
from slimgen.stages.bodies.evaluate import Comparison, references
from slimgen.tasks import check_recipe
from slimgen.tasks.adopting import recipe_of
from slimgen.tasks.paired import Paired
from slimgen.tasks.single import Single, resized

SOURCE = """
import torch
from torch import nn

class Doubler(nn.Module):
    def __init__(self, shift=0.0):
        super().__init__()
        self.shift = shift
        self.mix = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return torch.nn.functional.interpolate(self.mix(x) + self.shift, scale_factor=2.0, mode="nearest")

class Tuple(nn.Module):
    def forward(self, x):
        return x, x
"""
PLAIN = {"mix.weight": torch.eye(3)[:, :, None, None], "mix.bias": torch.zeros(3)}


def slimgen(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def adopted(tmp_path_factory, untracked):
    """A class in a file, which doubles each pixel, adopted from a wrapped checkpoint onto a folder of pictures."""
    folder = tmp_path_factory.mktemp("adopted")
    (folder / "doubling_by_hand.py").write_text(SOURCE)
    torch.save({"params_ema": {f"module.{name}": tensor for name, tensor in PLAIN.items()}}, folder / "net.pth")
    draw = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for number in range(3):
        picture = Image.fromarray(draw.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((60, 42), Image.BILINEAR)
        picture.save(folder / "pictures" / f"{number}.png")
    source = f"{folder / 'doubling_by_hand.py'}:Doubler"
    words = ("adopt", folder / "net.pth", source, "--shift", 0.0, "--size", "16x24")
    quick = ("--set", "export.dynamic=false", "--set", "evaluate.latency_runs=2", "--set", "data.licence=mine")
    said = slimgen(*words, "--data", folder / "pictures", "--out", folder / "run", *quick, "--json")
    assert said.exit_code == 0, said.stderr
    return folder, said


def rows(folder):
    return {row["name"]: row for row in json.loads((folder / "run" / "evaluate" / "table.json").read_text())["rows"]}


def test_one_command_exports_a_file_with_the_generators_outputs(adopted):
    folder, said = adopted
    told = json.loads(said.stdout)
    assert told["stages"]["teach"]["updates"] == 0
    assert told["stages"]["export"]["parity_max_abs"] < 1e-5
    session = onnxruntime.InferenceSession(folder / "run" / "export" / "generator.onnx")
    picture = np.random.default_rng(1).random((1, 3, 16, 24), np.float32)
    made = session.run(None, {"input": picture})[0]
    assert np.allclose(made, picture.repeat(2, axis=2).repeat(2, axis=3), atol=1e-6)


def test_one_that_enlarges_is_measured_on_every_picture_beside_bicubic(adopted):
    folder, _ = adopted
    found = rows(folder)
    assert list(found) == ["adopted", "bicubic"]
    assert Prepared.open(folder / "run" / "prepare").split("test").shapes == (Size(21, 30),) * 3  # whole pictures
    real = [np.asarray(Image.open(path)) for path in sorted((folder / "pictures").iterdir())]
    given = [imresize(picture, Fraction(1, 2)) for picture in real]
    expected = {
        "adopted": [picture.repeat(2, axis=0).repeat(2, axis=1) for picture in given],
        "bicubic": [imresize(picture, 2) for picture in given],
    }
    real, *others = (
        torch.from_numpy(np.stack(each)).permute(0, 3, 1, 2) / 127.5 - 1 for each in (real, *expected.values())
    )
    for name, images in zip(expected, others, strict=True):
        assert found[name]["metrics"]["psnr"] == pytest.approx(float(psnr(images, real).mean()), abs=1e-6)
        assert found[name]["metrics"]["psnr_y"] == pytest.approx(float(psnr_y(images, real, border=2).mean()), abs=1e-6)
    assert found["bicubic"]["params"] is None
    assert found["adopted"]["params"] == 12


def test_the_card_names_the_source_of_the_weights(adopted):
    folder, _ = adopted
    card = json.loads((folder / "run" / "export" / "card.json").read_text())
    assert card["origin"]["sha256"] == sha256_file(folder / "net.pth")
    assert card["origin"]["file"] == "net.pth"
    assert card["origin"]["part"] == "params_ema.module"
    text = (folder / "run" / "export" / "card.md").read_text()
    assert "trained elsewhere, adopted and exported by slimgen" in text
    assert "| sha256 | " in text
    assert "Licence of the data: mine" in text
    assert "original" not in card["quality"]
    assert card["original_cost"] == {}


def test_the_report_shows_the_pictures_and_the_row_without_a_network(adopted):
    folder, _ = adopted
    text = (folder / "run" / "evaluate" / "report.html").read_text()
    assert "bicubic" in text
    assert "trained elsewhere" in text
    with Image.open(folder / "run" / "evaluate" / "grid.png") as grid:
        assert grid.size[0] > 3 * 128


def test_weights_and_classes_that_do_not_fit_are_one_line_before_anything_is_written(adopted, tmp_path):
    folder, _ = adopted
    source = folder / "doubling_by_hand.py"
    torch.save({"mix.weight": PLAIN["mix.weight"]}, tmp_path / "short.pth")
    for words, fault in {
        (tmp_path / "short.pth", f"{source}:Doubler"): "no mix.bias; check the network and its norm",
        (tmp_path / "nowhere.pth", f"{source}:Doubler"): "no file of weights at",
        (folder / "net.pth", f"{tmp_path / 'none.py'}:Doubler"): "(no file ",
        (folder / "net.pth", f"{source}:Tuple"): "must return one tensor; got a tuple",
        (folder / "net.pth", "resnett"): "did you mean 'resnet'?",
    }.items():
        same = ("--shift", 0.0) if "Doubler" in words[1] else ()  # as in the run before, so that it is tried already
        said = slimgen("adopt", *words, *same, "--data", folder / "pictures", "--size", 16, "--out", tmp_path / "run")
        assert said.exit_code == 2
        assert fault in said.stderr
        assert said.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def recipe(**options):
    return recipe_of("c.pth", {"family": "resnet", "ngf": 4, "blocks": 1}, name="r", **options)


def test_outputs_without_targets_are_not_measured():
    check_recipe(recipe(size=Size(16, 16)))
    with pytest.raises(RecipeError, match=r"have no targets to measure.*psnr; set evaluate\.metrics to \[\]"):
        check_recipe(recipe(size=Size(16, 16), settings=["evaluate.metrics=[psnr]"]))
    with pytest.raises(RecipeError, match=r"data\.scale must be.*2 for a factor of 1; set it to 1"):
        check_recipe(recipe(size=Size(16, 16), settings=["data.scale=2"]))
    with pytest.raises(RecipeError, match=r"data\.scale has no effect in the task paired"):
        check_recipe(recipe(size=Size(16, 16), task="paired", settings=["data.scale=2"]))
    with pytest.raises(RecipeError, match="its generator must be imported"):
        check_recipe(
            recipe(size=Size(16, 16), settings=["teach.generator_checkpoint=null", "teach.generator_key=null"])
        )


def test_noise_is_no_picture():
    found = recipe_of("c.pth", {"family": "sngan", "channels": 4, "size": 32}, name="r", size=Size(32, 32))
    assert (found.task, found.evaluate.metrics, found.finetune.updates) == ("unconditional", (), 0)


def test_real_pictures_have_a_row_where_a_network_judges_what_it_sees(tmp_path):
    path = tmp_path / "strongest.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Identity()), path)
    classes = {"wall": [255, 0, 0], "door": [0, 255, 0]}
    network = {"path": str(path), "mean": 0, "std": 1, "classes": {**classes, "sky": [0, 0, 255]}}
    labels = torch.full((2, 3, 1, 4), -1.0)
    labels[:, 0] = 1
    real = labels.clone()
    real[0, :, 0, 0] = torch.tensor([-1.0, 1.0, -1.0])  # of eight pixels that are wall, one is seen as a door
    names = ["psnr", "seg_miou:s", "seg_accuracy:s"]
    judged = Evaluator((labels, real), names, compute=Compute(torch.device("cpu")), features={"s": network})
    task = Paired.__new__(Paired)
    (row,) = references(task, Comparison(Pair(labels, real), ("1", "2"), True, judged, {}), "")
    assert row["name"] == REAL
    assert row["metrics"] == pytest.approx({"seg_accuracy:s": 7 / 8, "seg_miou:s": (7 / 8 + 0) / 2})
    plain = Evaluator((labels, real), ["psnr"], compute=Compute(torch.device("cpu")))
    assert references(task, Comparison(Pair(labels, real), ("1", "2"), True, plain, {}), "") == []


def test_a_generator_gets_images_downsampled_by_bicubic():
    flat = torch.full((1, 3, 8, 8), 0.2)
    assert resized(flat, 0.5).shape == (1, 3, 4, 4)
    assert torch.allclose(resized(flat, 0.5), torch.full((1, 3, 4, 4), round(1.2 * 127.5) / 127.5 - 1))
    assert Single.traits.single
    assert build_generator("resnet", ngf=4, blocks=1)(flat).shape == flat.shape
