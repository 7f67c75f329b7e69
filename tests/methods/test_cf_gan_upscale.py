"""CF-GAN over its space for super-resolution: every stage, Definition 3.1, and the same bits after a kill."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen import stages
from slimgen.errors import RecipeError, SlimgenError
from slimgen.methods import cf_gan
from slimgen.methods.cf_gan import judging, name_genotype, picture_genotype
from slimgen.methods.cf_gan.drawing import OPERATORS as COLOURS
from slimgen.methods.cf_gan.options import training_of
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets import generator_cost
from slimgen.nets.cf_gan.upscale_space import OPERATORS, UpscaleShape
from slimgen.nets.supernet import pinned
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.search import Genotype
from slimgen.training import fit
from slimgen.training.draws import fair, narrowing
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_cf_gan_upscale.yaml").read_text()).override(
    ["compute.checkpoint_seconds=0.0001"]
)
SHAPE = training_of(TINY).shape
SPACE = SHAPE.space


def read(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text())


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=9, test=2, size=64, layout="upscaling")
    return folder


@pytest.fixture(scope="module")
def whole(untracked, images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    stages.run(TINY, data=images, out=out, until="finetune", progress=quiet)
    return out


def test_every_path_and_operator_is_trained_equally_often(whole: Path) -> None:
    counts = read(whole, "supernet/updates.json")
    assert counts["violations"] == []
    paths = [str(path) for path in SPACE["path"].options]
    assert counts["generator"] == counts["discriminator"] == dict.fromkeys(paths, 2)
    layers = [name for name in SPACE if name.startswith("operator.")]
    every = {f"{path}/{layer}/{operator}" for path in paths for layer in layers for operator in OPERATORS}
    assert counts["operators"] == dict.fromkeys(every, 2)


def test_the_operator_step_chooses_recursions_too_and_the_channel_step_keeps_both(whole: Path) -> None:
    trials = [json.loads(line) for line in (whole / "search" / "trials.jsonl").read_text().splitlines()]
    steps: dict[str, list[dict]] = {}
    for trial in trials:
        SPACE.check(trial["genotype"])
        steps.setdefault(trial["step"], []).append(trial["genotype"])
    assert list(steps) == ["path", "operator", "even", "channel"]
    assert [genotype["path"] for genotype in steps["path"]] == list(SPACE["path"].options)
    blocks = [name for name in SPACE if name.startswith(("operator.", "recursion."))]
    chosen = {tuple(genotype[name] for name in blocks) for genotype in steps["operator"]}
    assert len(chosen) == len(steps["operator"]) > 4
    assert len({genotype["recursion.g0b0"] for genotype in steps["operator"]}) > 1
    assert len({tuple(genotype[name] for name in blocks) for genotype in steps["channel"]}) == 1


def test_the_found_generator_is_of_its_family_within_the_budget(whole: Path) -> None:
    found, about = read(whole, "search/genotype.json"), read(whole, "finetune/networks.json")["found"]
    assert about["family"] == "upscale_trellis"
    assert about["options"]["genotype"] == found["genotype"]
    cost = generator_cost("upscale_trellis", 8, 8, **about["options"])
    assert found["costs"]["macs"] == cost.exact <= found["limits"]["macs"]
    weights = load_weights(whole / "finetune" / "found.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == cost.params
    assert (whole / "search" / "architecture.png").is_file()


class KilledError(Exception):
    """What stands for a kill: nothing catches it."""


def test_a_killed_training_or_search_ends_with_the_same_bits(whole: Path, tmp_path: Path, monkeypatch) -> None:
    before = {name: whole / name for name in ("prepare", "teach")}
    calls, real = 0, fit._step

    def killing(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 10:  # in the fifth step, which has two phases
            raise KilledError
        return real(*args, **options)

    monkeypatch.setattr(fit, "_step", killing)
    again = tmp_path / "supernet"
    with pytest.raises(KilledError):
        stages.supernet(TINY, **before, out=again, progress=quiet)
    assert list(again.rglob("*.ckpt")) or list(again.rglob("*checkpoint*"))
    stages.supernet(TINY, **before, out=again, progress=quiet)
    assert 10 + 2 * 4 <= calls < 10 + 2 * 8
    for name in ("generator.safetensors", "discriminator.safetensors", "updates.json"):
        assert (again / name).read_bytes() == (whole / "supernet" / name).read_bytes()
    measure, seen = Evaluator.measure, 0

    def measuring(*args: object, **options: object) -> object:
        nonlocal seen
        seen += 1
        if seen == 9:  # in the operator step, after the four paths
            raise KilledError
        return measure(*args, **options)

    monkeypatch.setattr(Evaluator, "measure", measuring)
    search = tmp_path / "search"
    with pytest.raises(KilledError):
        stages.search(TINY, **before, supernet=again, out=search, progress=quiet)
    stages.search(TINY, **before, supernet=again, out=search, progress=quiet)
    every = len((search / "trials.jsonl").read_text().splitlines())
    assert seen == 1 + every  # nothing is measured twice
    for name in ("genotype.json", "trials.jsonl"):
        assert (search / name).read_bytes() == (whole / "search" / name).read_bytes()


def test_recursions_are_drawn_uniformly_and_operators_still_fairly() -> None:
    at = Genotype({name: dimension.largest for name, dimension in SPACE.items()})
    draw = narrowing(fair(SPACE, at, 0), SPACE, lambda genotype: True, 0, ("recursion.",))
    drawn = [[pinned(arch) for arch in draw(step)] for step in range(200)]
    for archs in drawn:
        for name in (name for name in SPACE if name.startswith("operator.")):
            assert sorted(str(genotype[name]) for genotype in archs) == sorted(OPERATORS)
        widths = {
            genotype[name] for genotype in archs for name in SPACE.active(genotype) if name.startswith("channel.")
        }
        assert widths == {1.0}
    times = [genotype["recursion.g1b0"] for archs in drawn for genotype in archs]
    assert all(abs(times.count(number) - 150) < 45 for number in (1, 2, 3, 4))


def test_the_discriminator_follows_the_path_or_is_one_for_all() -> None:
    options = training_of(TINY.override(["supernet.matching=one"]))
    assert {judging(options, path) for path in SPACE["path"].options} == {"1-2-4"}
    assert judging(training_of(TINY), "1-1-2") == "1-1-2"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["supernet.path=4-2-1"], "unknown path in supernet.path; got '4-2-1'"),
        (["supernet.operators=resblock"], "unknown operator in supernet.operators; got 'resblock'"),
        (["supernet.recursions=0"], "recursions: must be at least 1"),
        (["size=9"], "sides are multiples of 2; got 9"),
        (["supernet.ratios=[1.0]", "budget.macs=1000"], "the smallest"),
    ],
)
def test_a_mistake_is_one_line(settings: list[str], said: str) -> None:
    with pytest.raises(SlimgenError, match=said):
        cf_gan.check(TINY.override(settings))


def test_recursions_of_an_image_translation_are_refused() -> None:
    translation = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text())
    cf_gan.check(translation)
    with pytest.raises(RecipeError, match=r"supernet\.recursions needs super-resolution"):
        cf_gan.check(translation.override(["supernet.recursions=2"]))


def test_one_recursion_leaves_nothing_to_choose() -> None:
    fixed = TINY.override(["supernet.recursions=1"])
    assert cf_gan.preview(fixed).space.size * 4**3 == cf_gan.preview(TINY).space.size


def test_a_drawing_shows_operators_scales_and_widths(tmp_path: Path) -> None:
    space, rng = UpscaleShape(ngf=4, groups=3, blocks=1).space, random.Random(0)
    blocks = [name for name in space if name.startswith("operator.")]
    for scale in (2, 3, 4):
        recipe = TINY.override([f"data.scale={scale}"])
        own = training_of(recipe).shape.space
        genotype = own.sample(rng)
        picture_genotype(genotype, tmp_path / f"{scale}.png", recipe)
        assert name_genotype(genotype) == genotype["path"]
    for operator in OPERATORS:
        chosen = space.canonical({**space.largest(), **dict.fromkeys(blocks, operator)})
        picture_genotype(chosen, tmp_path / f"{operator}.png", TINY)
        with Image.open(tmp_path / f"{operator}.png") as image:
            picture = np.array(image.convert("RGB"))
        colours = {
            name: tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
            for name, (colour, _) in COLOURS["upscale_trellis"].items()
        }
        areas = {name: int((picture == colour).all(axis=2).sum()) for name, colour in colours.items()}
        assert max(areas, key=areas.__getitem__) == operator
        assert max(areas[name] for name in OPERATORS if name != operator) < 1200  # the legend alone
