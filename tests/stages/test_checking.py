"""What can be wrong with a recipe is told before anything is computed, by a run and by every single stage."""

import sys
from pathlib import Path

import pytest

from slimgen import stages
from slimgen.errors import RecipeError, SlimgenError
from slimgen.recipe import Recipe
from slimgen.stages.checking import check, foreign, wanted
from slimgen.stages.table import STAGES

TINY = Recipe.from_values(
    {
        "name": "tiny",
        "task": "paired",
        "method": "gan_compression",
        "size": 32,
        "data": {"validation": 2},
        "budget": {"macs": "1/2"},
        "teach": {
            "generator": {"family": "resnet", "ngf": 8, "blocks": 2},
            "discriminator": {"family": "patchgan", "ndf": 8, "layers": 2},
            "updates": 1,
        },
        "supernet": {"space": [[4, 8]] * 8, "updates": 1},
        "search": {"evaluations": 4, "population": 4, "elite": 2},
        "finetune": {"updates": 1},
        "evaluate": {"metrics": ["psnr"]},
    }
)


def test_a_sound_recipe_is_sound() -> None:
    check(TINY)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["export.opset=17"], "must be at least 18"),
        (["export.opset=98"], "onnxruntime runs; got 98"),
        (["compute.threads=100000"], "must be at most 1024"),
        (["evaluate.threads=0"], "must be at least 1"),
        (["search.elite=5"], "at most search.population; got 5 and 4"),
        (["method=cf_gan", "supernet={updates: 1}", "search={population: 4, elite: 5}"], "got 5 and 4"),
        (["evaluate.images=4", "evaluate.pictures=5"], "'pictures' must be at most 'images', which is 4"),
        (["evaluate.metrics=[]"], "evaluate.metrics must name at least one metric; got none"),
        (["search={kind: exhaustive, evaluations: 255}", "budget={}"], "got 256 configurations"),
        (["search={kind: exhaustive, band: 0.5}", "budget={}"], "search.kind exhaustive and a limit in budget"),
        (
            ["search={kind: exhaustive}", "budget={}", f"supernet.space={[list(range(1, 10))] * 8}"],
            "at most 20,000,000",
        ),
        (["teach.generator.ngf=65536"], "parameters; got"),
        (["teach.discriminator.ndf=65536"], "parameters; got"),
        (["teach.discriminator.layers=9"], "must have at least 1536 pixels a side"),
        (["losses.perceptual=1", "losses.perceptual_network=nowhere.pt"], "nowhere.pt"),
        (["evaluate.metrics=['fd:x']", "evaluate.features={x: {path: nowhere.pt}}"], "no file nowhere.pt"),
        (["evaluate.metrics=['fd:x']", f"evaluate.features={{x: {{path: {'x' * 5000}}}}}"], "no file xxx"),
        (["objective.metric='fd:x'"], "needs a feature network called x"),
        (["teach.generator_checkpoint=nowhere.pth"], "nowhere.pth"),
        (["method=os.path"], "without check, supernet, search, finetune"),
        (["task='os:getcwd'"], "a task must be a class with traits"),
        (["export.model=a/b"], "export.model: must be a plain name"),
    ],
)
def test_each_mistake_is_reported_in_one_line(settings: list[str], words: str) -> None:
    with pytest.raises(SlimgenError) as caught:
        check(TINY.override(settings))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_limit_an_exhaustive_search_measures_the_whole_space() -> None:
    check(TINY.override(["search={kind: exhaustive}", "budget={}"]))


@pytest.mark.parametrize("stage", STAGES)
def test_every_single_stage_asks_before_it_begins(tmp_path: Path, stage: str) -> None:
    """A file that a later stage wants is asked for by those before it, and no more by those behind."""
    recipe = TINY.override(["evaluate.metrics=['fd:x']", "evaluate.features={x: {path: nowhere.pt}}"])
    fault = wanted(recipe, stage).get("fd:x")
    assert (fault is None) == (stage == "export")
    if stage == "prepare":
        (tmp_path / "images").mkdir()
        with pytest.raises(SlimgenError, match=r"no file nowhere\.pt"):
            stages.prepare(recipe, data=tmp_path / "images", out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_weights_are_wanted_no_longer_than_they_are_used() -> None:
    recipe = TINY.override(
        ["teach.generator_checkpoint=a.pth", "losses.perceptual=1", "losses.perceptual_network=v.pt"]
    )
    until = {name: [stage for stage in STAGES if name in wanted(recipe, stage)] for name in ("a.pth", "v.pt")}
    assert until["a.pth"] == ["prepare", "teach"]
    assert until["v.pt"] == ["prepare", "teach", "supernet", "search", "finetune"]


def test_a_generator_of_another_size_is_refused_before_prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\nclass Up(nn.Sequential):\n    def __init__(self):\n"
    layers = "nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)"
    (tmp_path / "twice_as_large.py").write_text(f"{code}        super().__init__({layers})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = TINY.override(["teach.generator={family: 'twice_as_large:Up'}"])
    with pytest.raises(RecipeError, match=r"must map .* to pictures of 3 x 32 x 32; got \(1, 3, 64, 64\)"):
        stages.run(recipe, data=tmp_path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "twice_as_large" not in sys.modules


def test_a_generator_that_enlarges_is_tried_as_one() -> None:
    recipe = TINY.override(["teach.generator={family: 'nowhere:Up'}", "data.scale=3", "size=[16, 24]"])
    assert [(probe.given, probe.wanted) for probe in foreign(recipe) if probe.noun] == [((0, 16, 24), (0, 48, 72))]
