import json

import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.data import prepare_images
from slimgen.errors import DataError
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe, load
from slimgen.tasks import embedded
from slimgen.text import amount
from townhouses import write

SMALL = "--set", "size=32", "--set", "data.validation=2"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working folder of its own, and a tracking server that does not answer, which no stage waits for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


def slimgen(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_run_prints_the_time_of_each_stage_and_skips_finished_ones(tmp_path):
    write(tmp_path / "images", seed=0, train=6, test=2, size=32)
    words = "run", "townhouses-cf_gan", "--data", "images", "--until", "prepare", *SMALL
    first = slimgen(*words, "--out", "r")
    assert first.exit_code == 0, first.stderr
    limit = f"{amount(generator_cost('resnet', 32, 32, ngf=32, blocks=6).exact / 8)} MACs (exact)"
    head, device = first.stderr.splitlines()[:2]
    assert head == "townhouses-cf_gan: cf_gan, paired, 32 x 32 px, seed 0; budget " + limit
    assert device.startswith("cpu ")
    assert device.endswith("folder r")
    assert "prepare images 8/8" in first.stderr
    assert ", 4 training, 2 validation, 2 test images" in first.stderr
    assert "already done" not in first.stderr
    second = slimgen(*words, "--out", "r", "--json")
    assert "4 / 2 / 2 images to train / validate / test on; folder r" in second.stderr
    assert "✓ prepare   already done" in second.stderr
    told = json.loads(second.stdout)
    assert told["run"] == "r"
    assert told["stages"]["prepare"]["train_images"] == 4
    assert told["stages"]["prepare"]["test_images"] == 2


def test_the_head_line_names_the_search_of_a_recipe_without_a_supernet(tmp_path):
    write(tmp_path / "images", seed=0, train=6, test=2, size=32)
    said = slimgen("run", "townhouses-halving", "--data", "images", "--until", "prepare", *SMALL, "--out", "r")
    assert said.stderr.startswith("townhouses-halving: successive halving in the space of cf_gan, paired, 32 x 32 px")


def test_a_single_stage_prints_its_metrics(tmp_path):
    write(tmp_path / "images", seed=0, train=6, test=2, size=32)
    words = "prepare", "--recipe", "townhouses-cf_gan", "--data", "images", "--out", "p", *SMALL
    said = slimgen(*words)
    assert said.exit_code == 0, said.stderr
    assert said.stdout.splitlines()[:2] == ["prepare: p", "  train_images  4"]
    assert json.loads(slimgen(*words, "--json").stdout)["val_images"] == 2
    first = slimgen("prepare", "--run", "r", "--recipe", "townhouses-cf_gan", "--data", "images", *SMALL)
    assert first.stdout.splitlines()[0] == "prepare: r/prepare"
    again = slimgen("prepare", "--run", "r", "--data", "images")  # the run's own recipe, with what was set
    assert again.stdout == first.stdout
    teach = slimgen("teach", "--run", "elsewhere", "--recipe", "townhouses-cf_gan")
    assert "must be the folder of a finished prepare stage; got elsewhere/prepare" in teach.stderr


def test_images_in_the_folder_data_are_taken_first(tmp_path):
    write(tmp_path / "data", seed=0, train=6, test=2, size=32)
    said = slimgen("run", "townhouses-cf_gan", "--until", "prepare", *SMALL, "--json")
    assert json.loads(said.stdout)["stages"]["prepare"]["train_images"] == 4
    assert (tmp_path / "runs" / "townhouses-cf_gan" / "prepare" / "manifest.json").is_file()


def test_without_images_the_embedded_set_is_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "TRAIN", 5)
    monkeypatch.setattr(embedded, "TEST", 2)
    (tmp_path / "data").mkdir()  # as a clone has it before its images are fetched
    words = "run", "townhouses-cf_gan", "--out", "r", "--until", "prepare", *SMALL
    assert "drawing 7 townhouses into r/townhouses-paired-32" in slimgen(*words).stderr
    again = slimgen(*words, "--json")
    assert "drawing" not in again.stderr
    assert json.loads(again.stdout)["stages"]["prepare"]["train_images"] == 3


def test_a_recipe_draws_the_embedded_set_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "TRAIN", 5)
    monkeypatch.setattr(embedded, "TEST", 2)
    text = slimgen("recipes", "townhouses-cf_gan").stdout.replace("name: townhouses-cf_gan", "name: mine")
    (tmp_path / "mine.yaml").write_text(text)
    said = slimgen("run", "mine.yaml", "--until", "prepare", *SMALL)
    assert "drawing 7 townhouses into runs/mine/townhouses-paired-32" in said.stderr


def test_a_recipe_that_does_not_ask_for_the_embedded_set_needs_images(tmp_path):
    text = slimgen("recipes", "townhouses-cf_gan").stdout.replace("  embedded: townhouses\n", "")
    assert "townhouses" in text  # a name decides nothing
    (tmp_path / "townhouses.yaml").write_text(text)
    said = slimgen("run", "townhouses.yaml")
    assert said.exit_code == 2
    assert said.stderr.startswith("error: a run needs images; got no --data")
    assert not (tmp_path / "runs").exists()


def test_townhouses_are_square_and_become_no_rectangles_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "TRAIN", 2)
    monkeypatch.setattr(embedded, "TEST", 1)
    recipe = load("townhouses-cf_gan").override(["size=32x48"])
    with pytest.raises(
        DataError,
        match=r"size must be square.*townhouses.*got 32 x 48; set a square size, or data\.fit to squash, crop or pad",
    ):
        embedded.find_images(recipe, None, tmp_path / "r", report=print)
    drawn = embedded.find_images(recipe.override(["data.fit=crop"]), None, tmp_path / "r", report=print)
    assert drawn.name == "townhouses-paired-48"


def test_images_for_generation_from_noise_are_drawn_alone_even_beside_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "TRAIN", 2)
    monkeypatch.setattr(embedded, "TEST", 1)
    write(tmp_path / "data", seed=0, train=2, test=1, size=32)
    values = {"task": "unconditional", "method": "alphagan", "size": 32, "teach": {"updates": 1}}
    values |= {"finetune": {"updates": 1}, "data": {"embedded": "townhouses"}}
    recipe = Recipe.from_values(values, "noise")
    drawn = embedded.find_images(recipe, None, tmp_path / "r", report=print)
    assert drawn == tmp_path / "r" / "townhouses-images-32"
    found = prepare_images.find_images(drawn)
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 10, "test": 5}
    assert embedded.find_images(recipe, tmp_path / "data", tmp_path / "r", report=print) == tmp_path / "data"
    other = recipe.override(["data={}"])
    assert (tmp_path / embedded.find_images(other, None, tmp_path / "r", report=print)).samefile(tmp_path / "data")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("evaluate.metrics=[psnrr]", "did you mean 'psnr'"),
        ("teach.generator_checkpoint=nowhere.pth", "no file of weights at nowhere.pth"),
        ("evaluate={metrics: ['fd:mine'], features: {mine: {path: nowhere.pt}}}", "nowhere.pt"),
        ("losses={perceptual: 1, perceptual_network: nowhere.pt}", "nowhere.pt"),
        ("budget.macs=100", "smallest network of this space has"),
    ],
)
def test_mistakes_in_a_recipe_are_found_before_any_image_is_drawn(tmp_path, setting, message):
    said = slimgen("run", "townhouses-cf_gan", "--set", setting)
    assert said.exit_code == 2
    assert message in said.stderr
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
