"""Networks have the channels of the prepared pictures, or a recipe is refused in one line before a training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from slimgen.errors import RecipeError
from slimgen.files import MANIFEST
from slimgen.metrics.registry import find
from slimgen.recipe import Channels, Recipe
from slimgen.report.pictures import grid, how_shown
from slimgen.stages.fingerprint import sections
from slimgen.stages.table import STAGES
from slimgen.tasks import check_recipe, open_task, suited, task_class

HERE = Path(__file__).parents[1]
PAIRED = Recipe.parse((HERE / "stages/tiny.yaml").read_text())
UNPAIRED = Recipe.parse((HERE / "tasks/tiny_unpaired.yaml").read_text())
LABELS = Recipe.parse((HERE / "methods/tiny_gaugan.yaml").read_text())
NOISE = Recipe.parse((HERE / "methods/tiny_alphagan.yaml").read_text())


def seen(recipe: Recipe, *channels: int) -> Recipe:
    return task_class(recipe.task).suited(recipe, Channels(*channels))


@pytest.mark.parametrize("recipe", [PAIRED, UNPAIRED, LABELS, NOISE])
def test_a_recipe_for_rgb_pictures_stays_as_it_is_and_so_do_its_fingerprints(recipe: Recipe) -> None:
    kept = seen(recipe, 3, 3)
    assert kept.to_yaml() == recipe.to_yaml()
    for stage in STAGES.values():
        assert sections(stage, kept) == sections(stage, recipe)
    assert "range" not in sections(STAGES["prepare"], recipe)["data"]
    for written in ("4095", "[0, 4095]"):
        ranged = recipe.override([f"data.range={written}"])
        assert sections(STAGES["prepare"], ranged)["data"]["range"] == [0, 4095]
        assert type(recipe).parse(ranged.to_yaml()) == ranged.override(["seed=0"])


@pytest.mark.parametrize(
    ("recipe", "channels", "generator", "discriminator"),
    [
        (PAIRED, (1, 1), {"inputs": 1, "outputs": 1}, 2),
        (PAIRED, (1, 3), {"inputs": 1}, 4),
        (PAIRED, (4, 2), {"inputs": 4, "outputs": 2}, 6),
        (UNPAIRED, (4, 4), {"inputs": 4, "outputs": 4}, 4),
        (LABELS, (1, 1), {"outputs": 1}, 41),
        (NOISE, (0, 4), {"outputs": 4}, 4),
    ],
)
def test_networks_follow_the_pictures(
    recipe: Recipe, channels: tuple[int, int], generator: dict, discriminator: int
) -> None:
    recipe = recipe.override(["evaluate.metrics=[psnr, ssim]"]) if recipe is not NOISE else recipe
    metric = ["evaluate.metrics=[psnr]"]
    if recipe is NOISE:  # four bands cannot be measured by a network of photographs
        with pytest.raises(RecipeError, match="the metric kid needs pictures of 1 or 3 channels; got 4 channels"):
            seen(recipe, *channels)
        recipe = recipe.override(metric)
    found = seen(recipe, *channels)
    assert found.teach.generator == {**recipe.teach.generator, **generator}
    assert found.teach.discriminator["inputs"] == discriminator
    assert found.channels.wanted == channels[1]
    if recipe.task != "unconditional":
        check_recipe(found)
    assert seen(found, *channels).to_yaml() == found.to_yaml()


@pytest.mark.parametrize(
    ("settings", "channels", "line"),
    [
        (
            ["teach.generator.inputs=1"],
            (3, 3),
            "inputs must be 3, the channels of the prepared input pictures; got 1; leave it out",
        ),
        (
            ["teach.generator.outputs=4"],
            (3, 3),
            "outputs must be 3, the channels of the prepared target pictures; got 4",
        ),
        (["teach.generator.inputs=3"], (1, 1), "inputs must be 1, the channels of the prepared input pictures; got 3"),
        (["teach.discriminator.inputs=6"], (1, 1), "teach.discriminator.inputs must be 2 or 1 .*; got 6"),
        (["evaluate.metrics=[psnr_y]"], (3, 1), "psnr_y needs pictures of 3 channels; got 1 channel"),
        (["evaluate.metrics=[lpips]"], (4, 4), "lpips needs pictures of 1 or 3 channels; got 4 channels"),
        (["objective.metric=fid"], (2, 2), "fid needs pictures of 1 or 3 channels; got 2 channels"),
        (
            ["losses.perceptual=1", "losses.perceptual_network=vgg16"],
            (4, 4),
            "perceptual network vgg16 needs RGB or grey pictures; got 4 channels",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused_in_one_line(
    settings: list[str], channels: tuple[int, int], line: str
) -> None:
    with pytest.raises(RecipeError, match=line) as caught:
        seen(PAIRED.override(settings), *channels)
    assert "\n" not in str(caught.value)


def test_a_discriminator_may_see_only_the_target() -> None:
    alone = seen(PAIRED.override(["teach.discriminator.inputs=1"]), 1, 1)
    from slimgen.device import Compute

    cpu = Compute(torch.device("cpu"))
    assert not open_task(alone, cpu).conditional  # type: ignore[attr-defined]
    assert open_task(seen(PAIRED, 1, 1), cpu).conditional  # type: ignore[attr-defined]


def test_without_prepared_pictures_no_channels_are_known(tmp_path: Path) -> None:
    assert suited(PAIRED, {"prepare": tmp_path}) is PAIRED
    (tmp_path / MANIFEST).write_text('{"splits": {"train": {"channels": "many"}}}')
    assert suited(PAIRED, {"prepare": tmp_path, "teach": None}) is PAIRED


@pytest.mark.parametrize("metric", ["psnr", "ssim", "patch_swd"])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_metrics_of_pixels_take_any_channels(metric: str, channels: int) -> None:
    torch.manual_seed(0)
    real = torch.rand(2, channels, 16, 16) * 2 - 1
    function = find(metric).open({}, torch.device("cpu")).function  # type: ignore[union-attr]
    assert function(real, real).shape == (2,)
    thrice, grey = real[:, :1].expand(-1, 3, -1, -1), real[:, :1]
    noisy = (real + 0.3 * torch.randn_like(real)).clamp(-1, 1)[:, :1]
    if metric != "patch_swd":  # whose directions are others for other channels
        assert torch.allclose(function(noisy, grey), function(noisy.expand(-1, 3, -1, -1), thrice))


def test_pictures_of_any_channels_are_shown_with_a_note(tmp_path: Path) -> None:
    values = torch.linspace(-1, 1, 5 * 8 * 8).reshape(1, 5, 8, 8)
    shown = {count: grid({"a": values[:, :count]}, tmp_path / "a.png") for count in (1, 2, 3, 5)}
    assert np.array_equal(shown[3], shown[5])
    grey = grid({"a": values[:, :2].mean(1, keepdim=True)}, tmp_path / "a.png")
    assert np.array_equal(shown[2], grey)
    assert [how_shown(count) for count in (1, 3)] == [None, None]
    assert how_shown(5) == "pictures of 5 channels are shown by the first three of them, as red, green and blue"
