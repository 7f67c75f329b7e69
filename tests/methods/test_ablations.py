"""CF-GAN's ablations: what a recipe fixes is neither trained nor searched, and what is compared with it is counted."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.ablations import in_words, searched, variants
from slimgen import recipe, stages
from slimgen.errors import RecipeError
from slimgen.methods import cf_gan
from slimgen.methods.cf_gan import judging
from slimgen.methods.cf_gan.options import SupernetOptions
from slimgen.methods.cf_gan.training import sparsity_groups
from slimgen.nets.cf_gan.space import OPERATORS
from slimgen.nets.cf_gan.superdiscriminator import SuperDiscriminator, walk
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, section
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text()).override(
    ["search={population: 3, elite: 1, evaluations: 6, operator_share: 0.5}", "finetune.rivals=[]", "teach.updates=2"]
)
BASE = recipe.load(str(Path(__file__).parents[2] / "benchmarks" / "townhouses-32.yaml"))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=8, test=2, size=32)
    return folder


def test_only_a_path_and_operators_fixed_in_the_supernet_are_trained_and_searched(untracked, images, tmp_path) -> None:
    fixed = ["supernet.path=4-2-1", "supernet.operators=[dws, resblock, dws]", "supernet.updates=3"]
    stages.run(TINY.override(fixed), data=images, out=tmp_path / "run", until="search", progress=quiet)
    counts = json.loads((tmp_path / "run" / "supernet" / "updates.json").read_text())
    assert counts["violations"] == []
    assert counts["generator"] == counts["discriminator"] == {"4-2-1": 3}
    assert {key.split("/")[-1] for key in counts["operators"]} == {"dws", "resblock"}
    trials = [json.loads(line) for line in (tmp_path / "run" / "search" / "trials.jsonl").read_text().splitlines()]
    assert {trial["genotype"]["path"] for trial in trials} == {"4-2-1"}
    chosen = [[v for k, v in sorted(t["genotype"].items()) if k.startswith("operator.")] for t in trials]
    assert all(each == ["dws", "resblock", "dws"] for each in chosen)


def test_one_path_of_the_discriminator_judges_all_generators(untracked, images, tmp_path) -> None:
    one = TINY.override(["supernet.matching=one", "supernet.sampling=uniform", "supernet.updates=4"])
    stages.run(one, data=images, out=tmp_path / "run", until="supernet", progress=quiet)
    counts = json.loads((tmp_path / "run" / "supernet" / "updates.json").read_text())
    assert counts["discriminator"] == {"4-2-1": 4}
    assert set(counts["generator"].values()) == {1}
    assert any("V = 0" in line for line in counts["violations"])
    options = section(SupernetOptions, one.supernet, "supernet")
    assert {judging(options, path) for path in counts["generator"]} == {"4-2-1"}
    weights = load_weights(tmp_path / "run" / "supernet" / "discriminator.safetensors")
    fresh = initialise(SuperDiscriminator(options.groups, options.ndf, 6), one.seed + 1).state_dict()
    judges = {f"{name}." for name in walk((4, 2, 1))}
    for name, weight in weights.items():
        assert torch.equal(weight, fresh[name]) != any(name.startswith(judge) for judge in judges), name


def test_sparsity_is_shared_among_the_paths_that_are_trained() -> None:
    generator = Trellis(section(SupernetOptions, TINY.supernet, "supernet").shape)
    alone = sparsity_groups(generator, generator.space.narrow({"path": ["4-2-2"]}))
    assert list(alone) == ["4-2-2"]
    assert {share for _, share in alone["4-2-2"]} == {1.0}
    assert min(share for groups in sparsity_groups(generator, generator.space).values() for _, share in groups) < 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["supernet.path=4-2-3"], "unknown path in supernet.path"),
        (["supernet.operators=conv5x5"], "unknown operator in supernet.operators"),
        (["supernet.path=4-2-1", "search.path=4-4-4"], "search.path needs a supernet of all paths"),
    ],
)
def test_unknown_paths_and_operators_are_refused(settings, said) -> None:
    with pytest.raises(RecipeError, match=said):
        cf_gan.check(TINY.override(settings))


def test_every_variant_is_a_sound_recipe_of_equal_updates() -> None:
    named = variants(BASE.override(["finetune.rivals=[]"]))
    by_hand = ["AP1", "AP2", "AP3", "AP4", "AO1", "AO2", "AO3"]
    assert list(named) == ["found", *by_hand, "uniform", "unfair", "coarse", "joint"]
    assert [named[f"AO{number}"].supernet["operators"] for number in (1, 2, 3)] == list(OPERATORS)
    for one in named.values():
        cf_gan.check(one)
        assert cf_gan.preview(one).updates(100) == 400
    assert cf_gan.preview(named["AO1"]).archs == 1
    assert cf_gan.preview(named["AP1"]).archs == 3


def test_joint_search_is_counted_until_it_is_as_good(tmp_path) -> None:
    goal = {"metric": "psnr", "goal": "max"}
    for name, found in (("coarse", 20.0), ("joint", 21.0)):
        (tmp_path / name / "search").mkdir(parents=True)
        content = {"objective": goal, "quality": {"psnr": found}}
        (tmp_path / name / "search" / "genotype.json").write_text(json.dumps(content))
        metrics = {"evaluations": 9, "seconds.path": 4.0, "seconds.channel": 5.0, "seconds.joint": 8.0}
        record = {"stage": "search", "metrics": metrics}
        (tmp_path / name / "search" / "stage.json").write_text(json.dumps(record))
    values = [18.0, 19.5, 20.5, 21.0]
    trials = [{"quality": {"psnr": value}, "complete": True} for value in values]
    (tmp_path / "joint" / "search" / "trials.jsonl").write_text("\n".join(map(json.dumps, trials)))
    counted = searched(tmp_path / "coarse", tmp_path / "joint")
    assert (counted["joint evaluations"], counted["joint seconds"]) == (3, 3 * 8.0 / 4)
    assert "as good in 1 of 1 seeds, after 3 evaluations (6 s)" in in_words([counted])
    (tmp_path / "coarse" / "search" / "genotype.json").write_text(
        json.dumps({"objective": goal, "quality": {"psnr": 22.0}})
    )
    assert searched(tmp_path / "coarse", tmp_path / "joint")["joint evaluations"] is None
