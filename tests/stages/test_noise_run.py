"""All seven stages from noise to images, with a method small enough to read: it narrows the original."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from slimgen import stages
from slimgen.data.images import read_image
from slimgen.errors import DataError, RecipeError
from slimgen.methods import METHODS
from slimgen.methods.method import Found, Trained
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.features import open_features
from slimgen.metrics.frechet import Statistics, frechet
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe
from slimgen.report.pictures import MARGIN, SEAM, TITLE
from slimgen.search import Genotype, Trial
from slimgen.stages.table import STAGES
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.noise import TEST, latents
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parents[1] / "tasks" / "tiny_unconditional.yaml").read_text())


def check(recipe) -> None:
    """Any recipe will do."""


def supernet(job):
    """The original itself, as in co-evolution."""
    save_weights(job.out / "generator.safetensors", load_weights(job.inputs["teach"] / "generator.safetensors"))
    return {}


def search(job):
    """The better of two widths, by the validation images, as they are drawn."""
    objective, trials = job.recipe.objective.metric, []
    evaluator = Evaluator(
        job.task.validation(job), [objective], compute=job.compute, batch=2, features=job.recipe.evaluate.features
    )
    for channels in (2, 3):
        net = job.compute.ready(build_generator(**options(job.recipe, channels)))
        cost = generator_cost(**job.recipe.size._asdict(), **options(job.recipe, channels))
        quality = evaluator.measure(net)
        trials.append(Trial(Genotype({"channels": channels}), cost.as_dict("exact"), quality, step="width"))
    return Found(min(trials, key=lambda trial: trial.quality[objective]), trials)


def finetune(job):
    """Trains it on all images but those to test on."""
    genotype = json.loads((job.inputs["search"] / "genotype.json").read_text())["genotype"]
    about, schedule = options(job.recipe, genotype["channels"]), job.recipe.finetune
    net = job.compute.place(build_generator(**about))
    joined = replace(job, data=job.data.with_validation())
    trained = train_gan(joined, GanTraining("found", net, job.task.discriminator(), schedule, schedule.updates))
    return {"found": Trained(trained, about.pop("family"), about, schedule.updates)}


def options(recipe, channels: int):
    return {**recipe.teach.generator, "channels": channels}


@pytest.fixture(scope="module", autouse=True)
def narrowing():
    """The method of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "narrowing", __name__)
        patch.setitem(sys.modules, __name__, sys.modules[__name__])
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    path = tmp_path_factory.mktemp("features") / "tiny.pt"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 5, stride=3), nn.ReLU())
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), path)
    settings = ["method=narrowing", f"evaluate.features={{tiny: {{path: {path}}}}}", "objective.metric=fd:tiny"]
    return TINY.override([*settings, "evaluate.images=20", "teach.ema=0.5"])


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=14, test=5, size=32, layout="images")
    return folder


@pytest.fixture(scope="module")
def finished(recipe, images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    stages.run(recipe, data=images, out=out, progress=quiet)
    return out


def found_of(finished: Path) -> nn.Module:
    about = json.loads((finished / "finetune" / "networks.json").read_text())["found"]
    net = build_generator(about["family"], **about["options"]).eval()
    net.load_state_dict(load_weights(finished / "finetune" / "found.safetensors"))
    return net


def test_every_stage_finishes_and_the_table_has_the_conditions_of_measurement(finished: Path) -> None:
    assert all(json.loads((finished / stage / "stage.json").read_text())["finished"] for stage in STAGES)
    table = json.loads((finished / "evaluate" / "table.json").read_text())
    rows = {row["name"]: row for row in table["rows"]}
    assert set(rows) == {"original", "found"}
    assert rows["found"]["params"] < rows["original"]["params"]
    assert all(row["latency"]["batch"] == 1 for row in rows.values())
    assert "of 20 images against 14 of 16x16 px" in table["protocol"]
    assert "made of normal noise of seed 0; real images: all that were to train on" in table["protocol"]


def test_quality_is_that_of_the_found_generators_images_of_the_noise_of_the_seed(
    finished: Path, recipe: Recipe
) -> None:

    network = open_features("fd:tiny", recipe.evaluate.features, torch.device("cpu"))
    parts = [np.load(finished / "prepare" / f"{split}.target.npy") for split in ("train", "val")]
    real = torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        made = network(found_of(finished)(latents(20, 6, 0, use=TEST)))
        wanted = frechet(Statistics.of(network(real)), made)
    table = json.loads((finished / "evaluate" / "table.json").read_text())
    assert table["rows"][1]["metrics"]["fd:tiny"] == pytest.approx(wanted, rel=1e-3)


def test_each_generator_has_a_panel_of_images_from_the_same_noise(finished: Path) -> None:
    sheet = np.array(Image.open(finished / "evaluate" / "grid.png"))
    side = 64  # pictures of 16 pixels, four times as large; two rows of two, of two generators
    panel = 2 * side + SEAM
    assert sheet.shape == (2 * MARGIN + TITLE + panel, 3 * MARGIN + 2 * panel, 3)
    with torch.no_grad():
        made = found_of(finished)(latents(20, 6, 0, use=TEST))
    wanted = ((made + 1) * 127.5).round().permute(0, 2, 3, 1).numpy().astype(int)
    left, top = 2 * MARGIN + panel, MARGIN + TITLE
    for place in range(4):
        row, column = top + place // 2 * (side + SEAM), left + place % 2 * (side + SEAM)
        shown = sheet[row : row + side : 4, column : column + side : 4].astype(int)
        assert np.abs(shown - wanted[place]).max() <= 1
    assert "data:image/" in (finished / "evaluate" / "report.html").read_text()


def test_the_exported_file_makes_images_from_noise_and_its_card_shows_how(finished: Path) -> None:
    session = onnxruntime.InferenceSession(finished / "export" / "generator.onnx")
    entry = session.get_inputs()[0]
    assert entry.shape == ["batch", 6]
    noise = np.load(finished / "evaluate" / "samples.npz")["input"]
    assert np.array_equal(noise, latents(8, 6, 0, use=TEST).numpy())
    (made,) = session.run(None, {entry.name: noise})
    with torch.no_grad():
        assert np.abs(found_of(finished)(torch.from_numpy(noise)).numpy() - made).max() < 1e-4
    card = (finished / "export" / "card.md").read_text()
    assert "A generator of images from noise" in card
    assert "batch, 6 | float32, drawn from a standard normal distribution |" in card
    assert "On 8 rows of noise" in card
    assert "direction" not in card


def test_the_cards_snippet_runs_and_writes_a_picture(finished: Path, tmp_path: Path, monkeypatch) -> None:
    snippet = (finished / "export" / "card.md").read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "generator.onnx").write_bytes((finished / "export" / "generator.onnx").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    assert read_image(tmp_path / "generated.png").shape == (16, 16, 3)


def test_the_same_command_again_does_nothing(finished: Path, recipe: Recipe, images: Path) -> None:
    seen = {}
    stages.run(
        recipe,
        data=images,
        out=finished,
        progress=quiet,
        on_stage=lambda name, metrics, seconds, skipped: seen.update({name: skipped}),
    )
    assert seen == dict.fromkeys(STAGES, True)


def test_metrics_of_single_images_are_refused_before_anything_is_computed(recipe, images, tmp_path) -> None:
    with pytest.raises(RecipeError, match="need metrics of whole sets"):
        stages.run(recipe.override(["evaluate.metrics=[ssim]"]), data=images, out=tmp_path, progress=quiet)
    assert not any(tmp_path.iterdir())


def test_images_prepared_for_another_task_are_refused(finished: Path, tmp_path: Path) -> None:
    paired = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())
    with pytest.raises(DataError, match="prepared for the task paired; got images without inputs"):
        stages.teach(paired, prepare=finished / "prepare", out=tmp_path, progress=quiet)
