import re

import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import WeightsError
from slimgen.methods import open_method
from slimgen.metrics.evaluator import Evaluator
from slimgen.recipe import Recipe, load, presets
from slimgen.stages.checking import wanted


@pytest.mark.parametrize("name", presets())
def test_every_preset_makes_sense_to_its_method(name):
    recipe = load(name)
    open_method(recipe.method).check(recipe)


@pytest.mark.parametrize("name", presets())
def test_a_preview_has_the_space_and_the_costs_of_its_ends(name: str) -> None:
    recipe = load(name)
    planned = open_method(recipe.method).preview(recipe)
    smallest, largest = (planned.costs(end) for end in (planned.space.smallest(), planned.space.largest()))
    assert 0 < smallest["params"] < largest["params"]
    assert 0 < smallest["macs"] < largest["macs"]
    assert planned.evaluations > 0
    assert planned.updates(100) <= planned.updates(1000)


def lines(name: str) -> list[str]:
    """Return the lines of a preset, after those of the preset that it extends."""
    own = presets()[name].read_text().splitlines()
    return [*lines(own[0].removeprefix("extends: ")), *own] if own[0].startswith("extends: ") else own


@pytest.mark.parametrize("name", presets())
def test_a_preset_names_the_source_of_each_setting_and_those_chosen_for_slimgen(name: str) -> None:
    said = " ".join(line.removeprefix("# ") for line in lines(name) if line.startswith("#"))
    papers, colon, own = said.partition("Chosen for slimgen")
    assert colon
    assert len(own) > 30
    assert re.search(r"From the paper: .*\((its |their )?(section|supplement|Algorithm|Table|Eq\.)s? [\d.]+", papers)
    if "answers to" in load(name).about:  # a paper's setting: what the paper leaves open has another source
        assert re.search(r"From (its code|CycleGAN|GAN Compression)", papers)


SEGMENTED = [name for name in presets() if "seg_miou" in load(name).objective.metric]


class Recogniser(nn.Module):
    """Scores of the classes of a palette: how near a pixel, normalised as the recipe says, is to each colour."""

    def __init__(self, options: dict) -> None:
        super().__init__()
        self.register_buffer("colours", torch.tensor(list(options["classes"].values())).float() / 255)
        self.register_buffer("mean", torch.tensor(options["mean"])[:, None, None])
        self.register_buffer("std", torch.tensor(options["std"])[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        levels = images * self.std + self.mean
        return -(levels[:, None] - self.colours[None, :, :, None, None]).square().sum(2)


def test_presets_of_streets_choose_by_one_segmentation_network() -> None:
    assert SEGMENTED == ["cf_gan-cityscapes", "gan_compression-cityscapes"]
    one, two = (load(name).evaluate.features for name in SEGMENTED)
    assert one == two
    assert len(one["drn"]["classes"]) == 19


@pytest.mark.parametrize("name", SEGMENTED)
def test_a_segmentation_network_without_weights_is_refused_in_one_line_with_a_remedy(
    name: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fault = wanted(load(name))["seg_miou:drn"]
    assert isinstance(fault, WeightsError)
    assert re.search(r"drn needs its weights, .* no file weights/drn-d-105\.pt; .* or set .*drn\.path", str(fault))
    assert "\n" not in str(fault)


@pytest.mark.parametrize("name", SEGMENTED)
def test_with_weights_given_by_path_pictures_in_the_colours_of_their_labels_score_one(name: str, tmp_path) -> None:
    path, plain = tmp_path / "net.pt", load(name)
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(Recogniser(dict(plain.evaluate.features["drn"]))), path)
    recipe: Recipe = plain.override([f"evaluate.features.drn.path={path}"])
    assert wanted(recipe)["seg_miou:drn"] is None
    colours = torch.tensor(list(recipe.evaluate.features["drn"]["classes"].values())).float()
    maps = (colours / 127.5 - 1).T[None, :, :, None].expand(2, -1, -1, 4).contiguous()  # a row for each class
    metric = recipe.objective.metric
    evaluator = Evaluator(
        (maps, maps), [metric], compute=Compute(torch.device("cpu")), features=recipe.evaluate.features
    )
    assert evaluator.measure(lambda x: x)[metric] == 1.0
    assert evaluator.measure(lambda x: x.roll(1, 2))[metric] == 0.0
