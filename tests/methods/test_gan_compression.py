"""GAN Compression end to end on a tiny task: both pipelines, every ablation, what it inherits and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from slimgen import stages
from slimgen.errors import BudgetError, RecipeError
from slimgen.methods.gan_compression import check
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.resnet.description import CHANNELS
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.search import Genotype
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_gan_compression.yaml").read_text())
FULL = [
    "supernet.pipeline=full",
    "supernet.teacher={ngf: 8, updates: 4, batch: 2}",
    "supernet.student={updates: 4, batch: 2}",
]


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    images, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("run")
    write(images, seed=0, train=12, test=3, size=32)
    stages.prepare(TINY, data=images, out=out / "prepare", progress=quiet)
    stages.teach(TINY, prepare=out / "prepare", out=out / "teach", progress=quiet)
    return out


def supernet(recipe: Recipe, taught: Path, out: Path) -> dict[str, float]:
    return stages.supernet(recipe, prepare=taught / "prepare", teach=taught / "teach", out=out, progress=quiet)


def whole(recipe: Recipe, taught: Path, out: Path) -> dict[str, dict]:
    """All stages after `teach`; the rows of the table by name."""
    before = {"prepare": taught / "prepare", "teach": taught / "teach"}
    stages.supernet(recipe, **before, out=out / "supernet", progress=quiet)
    before["supernet"] = out / "supernet"
    stages.search(recipe, **before, out=out / "search", progress=quiet)
    before["search"] = out / "search"
    stages.finetune(recipe, **before, out=out / "finetune", progress=quiet)
    del before["supernet"]
    stages.evaluate(recipe, **before, finetune=out / "finetune", out=out / "evaluate", progress=quiet)
    rows = json.loads((out / "evaluate" / "table.json").read_text())["rows"]
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize("settings", [[], FULL], ids=["fast", "full"])
def test_both_pipelines_end_with_a_generator_inside_the_budget(settings, taught, tmp_path):
    rows = whole(TINY.override(settings), taught, tmp_path)
    assert rows["found"]["macs"]["exact"] <= rows["original"]["macs"]["exact"] / 3
    assert rows["narrowed"]["macs"]["exact"] >= rows["found"]["macs"]["exact"]
    # With a mobile teacher and a student, their trainings count, too.
    assert rows["narrowed"]["updates"] == 6 + 4 + (4 + 4 if settings else 0)
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())["found"]
    net = build_generator(about["family"], **about["options"])
    net.load_state_dict(load_weights(tmp_path / "finetune" / "found.safetensors"))
    assert sum(weight.numel() for weight in net.parameters()) == rows["found"]["params"]


def test_without_fine_tuning_the_found_generator_is_the_slice_that_was_measured(taught, tmp_path):
    recipe = TINY.override(["finetune.updates=0", "finetune.rivals=[]", "search.evaluations=6"])
    whole(recipe, taught, tmp_path)
    net = OnceForAll(space=recipe.supernet["space"], blocks=3)
    net.load_state_dict(load_weights(tmp_path / "supernet" / "generator.safetensors"))
    genotype = Genotype.from_json(json.loads((tmp_path / "search" / "genotype.json").read_text())["genotype"])
    found = load_weights(tmp_path / "finetune" / "found.safetensors")
    assert all(torch.equal(weight, found[name]) for name, weight in net.extract(genotype).state_dict().items())


def test_an_exhaustive_search_measures_the_band_and_nothing_else(taught, tmp_path):
    recipe = TINY.override(["search={kind: exhaustive, band: 0.9, population: 8}", "finetune.updates=0"])
    supernet(recipe, taught, tmp_path / "supernet")
    before = {"prepare": taught / "prepare", "teach": taught / "teach", "supernet": tmp_path / "supernet"}
    facts = stages.search(recipe, **before, out=tmp_path / "search", progress=quiet)
    limit = generator_cost("resnet", 32, 32, ngf=8, blocks=3).exact / 3
    space = OnceForAll(space=recipe.supernet["space"], blocks=3)
    wanted = {
        genotype.key
        for genotype in space.space.enumerate()
        if 0.9 * limit <= space.cost(genotype, 32, 32).exact <= limit
    }
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert {trial["key"] for trial in trials} == wanted
    assert facts["band"] == len(trials) == len(wanted)


def test_a_latency_budget_is_searched_by_the_table_and_its_error_is_reported(taught, tmp_path):
    roomy = TINY.override(["budget={latency_ms: 1000}", "search.evaluations=6", "search.latency_networks=4"])
    supernet(roomy, taught, tmp_path / "supernet")
    before = {"prepare": taught / "prepare", "teach": taught / "teach", "supernet": tmp_path / "supernet"}
    facts = stages.search(roomy, **before, out=tmp_path / "search", progress=quiet)
    assert facts["latency_error_median"] >= 0
    assert 0 < facts["latency_measured_ms"] < 1000
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert all(0 < trial["costs"]["latency_ms"] < 1000 for trial in trials)
    tight = roomy.override(["budget.latency_ms=0.000001"])
    with pytest.raises(BudgetError, match="latency_ms"):
        stages.search(tight, **before, out=tmp_path / "tight", progress=quiet)


def first_losses(out: Path) -> dict[str, float]:
    return json.loads((out / "log-supernet.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("setting", "told", "untold"),
    [
        ("supernet.distillation=intermediate", {"generator.distill"}, set()),
        ("supernet.distillation=output", {"generator.distill"}, set()),
        ("supernet.distillation=fsp", {"generator.distill"}, set()),
        ("supernet.distillation=none", set(), {"generator.distill"}),
    ],
)
def test_distillation_is_an_option(setting, told, untold, taught, tmp_path):
    supernet(TINY.override([setting, "budget.macs=1/1"]), taught, tmp_path)
    losses = first_losses(tmp_path)
    assert told <= set(losses)
    assert not untold & set(losses)


def test_without_separable_convolutions_the_network_is_dense(taught, tmp_path):
    supernet(TINY.override(["supernet.family=resnet", "budget.macs=1/1"]), taught, tmp_path / "dense")
    supernet(TINY, taught, tmp_path / "separable")
    dense, separable = (load_weights(tmp_path / name / "generator.safetensors") for name in ("dense", "separable"))
    assert dense["model.10.conv_block.1.weight"].shape == (24, 32, 3, 3)
    assert separable["model.10.conv_block.1.conv.0.weight"].shape == (32, 1, 3, 3)


def test_the_parts_of_table_4_can_be_separable_instead_and_pruned_from_a_teacher_of_the_same(taught, tmp_path):
    recipe = TINY.override(["supernet.separable=[downsample, upsample]", "budget.macs=1/1", *FULL])
    supernet(recipe, taught, tmp_path)
    net = load_weights(tmp_path / "generator.safetensors")
    assert net["model.4.conv.0.weight"].shape == (6, 1, 3, 3)
    assert net["model.10.conv_block.1.weight"].shape == (24, 32, 3, 3)
    assert load_weights(tmp_path / "teacher_generator.safetensors").keys() == net.keys()


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    "deaths", [[("teacher", 3)], [("student", 1)], [("teacher", 2), ("student", 3), ("supernet", 4)]]
)
def test_the_full_pipeline_killed_anywhere_ends_with_the_same_weights(deaths, taught, tmp_path):
    recipe = TINY.override([*FULL, "compute.checkpoint_seconds=0.000001"])
    supernet(recipe, taught, tmp_path / "alone")
    for training, step in deaths:

        def tell(what, done, total, values, training=training, step=step):
            if (what, done) == (training, step):
                raise KilledError

        with pytest.raises(KilledError):
            stages.supernet(
                recipe, prepare=taught / "prepare", teach=taught / "teach", out=tmp_path / "x" / "y", progress=tell
            )
    supernet(recipe, taught, tmp_path / "x" / "y")
    files = sorted(path.name for path in (tmp_path / "alone").glob("*.safetensors"))
    assert len(files) == 5
    for name in files:
        one, two = load_weights(tmp_path / "alone" / name), load_weights(tmp_path / "x" / "y" / name)
        assert all(torch.equal(one[key], two[key]) for key in one), name


def test_an_exhaustive_search_under_a_latency_limit_measures_genotypes_predicted_to_meet_it(taught, tmp_path):
    recipe = TINY.override(
        ["search={kind: exhaustive, population: 64, latency_networks: 4}", "budget={latency_ms: 1000}"]
    )
    supernet(recipe, taught, tmp_path / "supernet")
    before = {"prepare": taught / "prepare", "teach": taught / "teach", "supernet": tmp_path / "supernet"}
    facts = stages.search(recipe, **before, out=tmp_path / "search", progress=quiet)
    assert facts["band"] == facts["evaluations"] == facts["space_size"]


def test_the_kept_discriminator_and_the_pruned_student_begin_as_the_teachers(taught, tmp_path):
    still = ["supernet.rate=1.0e-12", "supernet.family=resnet", "budget.macs=1/1"]
    supernet(TINY.override(still), taught, tmp_path / "kept")
    theirs = load_weights(taught / "teach" / "discriminator.safetensors")
    ours = load_weights(tmp_path / "kept" / "discriminator.safetensors")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)
    stem = load_weights(taught / "teach" / "generator.safetensors")["model.1.weight"]
    strongest = stem[stem.abs().sum((1, 2, 3)).argsort(descending=True)[:6]]
    assert torch.allclose(
        load_weights(tmp_path / "kept" / "generator.safetensors")["model.1.weight"], strongest, atol=1e-6
    )
    supernet(
        TINY.override([*still, "supernet.keep_discriminator=false", "supernet.prune=false"]), taught, tmp_path / "new"
    )
    ours = load_weights(tmp_path / "new" / "discriminator.safetensors")
    assert not all(torch.allclose(ours[name], theirs[name], atol=1e-3) for name in theirs)


def test_pseudo_pairs_have_the_teachers_image_as_target(taught, tmp_path):
    """With the teacher's weights in a network of its own shape, the first reconstruction loss is zero."""
    same = ["supernet.family=resnet", f"supernet.space={[[8]] * 8}", "supernet.updates=1", "supernet.prune=true"]
    supernet(TINY.override([*same, "supernet.truth=teacher", "budget={macs: 1/1}"]), taught, tmp_path / "teacher")
    supernet(TINY.override([*same, "supernet.truth=data", "budget={macs: 1/1}"]), taught, tmp_path / "data")
    assert first_losses(tmp_path / "teacher")["generator.recon"] < 1e-4
    assert first_losses(tmp_path / "data")["generator.recon"] > 0.1


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["supernet.pipeline=full"], "supernet.teacher"),
        (["supernet.teacher={updates: 4}"], "need supernet.pipeline full"),
        (["teach.generator={family: unet}", "finetune.rivals=[]"], "needs a ResNet teacher"),
        (["supernet.space=channels-49"], "no space of channels is called 'channels-49'"),
        (["search={kind: exhaustive, evaluations: 2}"], "2 evaluations"),
        (["search={kind: exhaustive, evaluations: 2}", "budget={macs: 1/3, latency_ms: 9}"], "2 evaluations"),
        (["budget={macs: 10, latency_ms: 9}"], "smallest network"),
        (["search={kind: exhaustive, racing: true}"], "racing needs search.kind evolution"),
        (["supernet.prune=true"], "same ResNet family"),
        (
            ["supernet.prune=true", "supernet.separable=[upsample]", "teach.generator.family=mobile_resnet"],
            "same separable parts",
        ),
        (["supernet.separable=[upsample]", "supernet.family=resnet"], "separable needs supernet.family mobile_resnet"),
        (["supernet.separable=[upsampling]"], "separable"),
        (
            ["supernet.distillation=fsp", "teach.generator={family: unet}", "finetune.rivals=[]"],
            "needs a ResNet teacher",
        ),
        (["supernet.family=resnet", "teach.generator.ngf=6"], "at least as wide"),
        (["supernet.distillation=none", "supernet.distill=2"], "distill needs another supernet.distillation than none"),
        (["finetune.rivals=[naive]"], "naive needs two sets of images"),
        (["search.band=0.5"], "band needs search.kind exhaustive"),
        (["supernet.pipline=fast"], "pipeline"),
        (["budget.macs=10"], "smallest network"),
        (["teach.generator_checkpoint=x.pth"], "discriminator"),
        (["size=30"], "multiples of 4"),
    ],
)
def test_unsound_recipes_are_refused_at_once(settings, rule):
    with pytest.raises((RecipeError, BudgetError, ValueError), match=rule):
        check(TINY.override(settings))


def test_names_of_dimensions_are_stable():
    assert CHANNELS.names[0] == "channel.stem"
    assert len(CHANNELS.names) == 8


def test_random_rivals_are_trained_under_the_found_generators_teacher(taught, tmp_path):
    rows = whole(TINY.override(["finetune.rivals=[random, halving]", "finetune.random=2"]), taught, tmp_path)
    assert list(rows) == ["original", "found", "random1", "random2", "halving"]
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())
    limit = json.loads((tmp_path / "search" / "genotype.json").read_text())["limits"]["macs"]
    for name in ("random1", "random2", "halving"):
        assert about[name]["family"] == about["found"]["family"]
        assert 0.8 * limit <= rows[name]["macs"]["exact"] <= limit
    assert [rows[name]["effort"]["updates"] for name in ("found", "random1", "halving")] == [6 + 4] * 3
    assert rows["halving"]["effort"]["pictures"] > rows["random1"]["effort"]["pictures"]


def test_candidates_are_tuned_before_they_are_measured(taught, tmp_path):
    few = TINY.override(["search.evaluations=6"])
    supernet(few, taught, tmp_path / "supernet")
    before = {"prepare": taught / "prepare", "teach": taught / "teach", "supernet": tmp_path / "supernet"}
    found = {}
    for updates in (0, 3):
        out, recipe = tmp_path / f"tuned-{updates}", few.override([f"search.tune={updates}"])
        stages.search(recipe, **before, out=out, progress=quiet)
        trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
        found[updates] = {trial["key"]: trial["quality"]["psnr"] for trial in trials}
        effort = read_record(out)["metrics"]
        assert effort.get("pictures", 0) == len(trials) * updates * TINY.finetune.batch
    both = found[0].keys() & found[3].keys()
    assert both
    assert all(found[0][key] != found[3][key] for key in both)
    with pytest.raises(RecipeError, match=r"losses\.recon"):
        check(TINY.override(["search.tune=3", "losses.recon=0"]))


def test_random_networks_are_halved_in_place_of_a_supernet(taught, tmp_path):
    alone = ["supernet.updates=0", "search={kind: halving, candidates: 4}", "finetune.inherit=false"]
    rows = whole(TINY.override([*alone, "finetune.rivals=[]"]), taught, tmp_path)
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert [trial["step"] for trial in trials] == ["halving-2"] * 4 + ["halving-4"] * 2
    effort, batch = rows["found"]["effort"], TINY.finetune.batch
    # What won was trained whole by then, and is not trained again.
    assert (effort["updates"], effort["pictures"]) == (4, batch * (4 * 2 + 2 * 2))
    with pytest.raises(RecipeError, match=r"supernet\.updates to 0"):
        check(TINY.override(alone[1:]))


def test_fine_tuning_begins_with_the_discriminator_that_is_asked_for(taught, tmp_path):
    few = TINY.override(["search.evaluations=6", "finetune.rivals=[]"])
    supernet(few, taught, tmp_path / "supernet")
    before = {"prepare": taught / "prepare", "teach": taught / "teach", "supernet": tmp_path / "supernet"}
    stages.search(few, **before, out=tmp_path / "search", progress=quiet)
    found = {}
    for begun in ("null", "supernet", "teacher", "fresh"):
        out = tmp_path / f"begun-{begun}"
        recipe = few.override([f"finetune.discriminator={begun}"])
        stages.finetune(recipe, **before, search=tmp_path / "search", out=out, progress=quiet)
        found[begun] = (out / "found.safetensors").read_bytes()
    assert found["null"] == found["supernet"]
    assert len(set(found.values())) == 3
