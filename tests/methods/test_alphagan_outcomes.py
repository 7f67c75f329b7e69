"""AlphaGAN from images to exported generators: reading off the architecture, training it from scratch, and errors."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slimgen import stages
from slimgen.errors import BudgetError, RecipeError
from slimgen.files import LOGITS
from slimgen.methods.alphagan import check, plans
from slimgen.methods.alphagan.architectures import evaluator_of
from slimgen.methods.checks import check_rivals
from slimgen.methods.rivals import Plan
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.alphagan.description import PUBLISHED, SPACE, alphagan_space
from slimgen.nets.sngan.discriminator import SPACE as JUDGES
from slimgen.nets.weights import load_weights
from slimgen.stages.fingerprint import sections
from slimgen.stages.table import STAGES
from tests.methods.alphagan_runs import TINY, folders, job_of, run_until
from tests.quiet import quiet


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> Path:
    return run_until("export", tmp_path_factory.mktemp("tiny"))


def outcome_of(out: Path) -> dict:
    return json.loads((out / "genotype.json").read_text())


def test_the_most_probable_operation_of_every_edge_is_chosen(whole_run):
    logits = load_weights(whole_run / "supernet" / LOGITS)
    genotype = outcome_of(whole_run / "search")["genotype"]
    for name, choice in SPACE.items():
        assert genotype[name] == choice.options[int(logits["logits/" + name.replace(".", "/")].argmax())]
    likely = sum(float(those.double().log_softmax(0).max()) for those in logits.values())
    said = json.loads((whole_run / "search" / "stage.json").read_text())["metrics"]
    assert said["val_log_probability"] == pytest.approx(likely, rel=1e-5)
    assert said["space_size"] == SPACE.size


def test_the_run_ends_with_all_generators_trained_as_long_and_exported(whole_run):
    rows = {row["name"]: row for row in json.loads((whole_run / "evaluate" / "table.json").read_text())["rows"]}
    assert set(rows) == {"original", "found", "by_hand", "random1"}
    assert {rows[name]["updates"] for name in ("found", "by_hand", "random1")} == {2}
    assert abs(rows["random1"]["params"] / rows["found"]["params"] - 1) <= 0.3
    networks = json.loads((whole_run / "finetune" / "networks.json").read_text())
    rival = planned(whole_run, whole_run / "search", "search={random: 1}")["random1"].generator["genotype"]
    assert networks["random1"]["options"] == {**networks["found"]["options"], "genotype": rival}
    assert networks["found"]["options"]["genotype"] == outcome_of(whole_run / "search")["genotype"] != rival
    about = networks["by_hand"]
    narrower = {**about["options"], "channels": about["options"]["channels"] - 1}
    less = generator_cost(about["family"], 16, 16, **narrower).macs("exact")
    assert less < rows["found"]["macs"]["exact"] <= rows["by_hand"]["macs"]["exact"]
    assert (whole_run / "export" / "generator.onnx").is_file()
    assert (whole_run / "search" / "relaxation.png").is_file()
    updates = json.loads((whole_run / "supernet" / "updates.json").read_text())
    assert updates == {
        **{"discriminator": 6, "generator": 3, "discriminator_bar": 4, "generator_bar": 4},
        **{"architecture": 4, "bars": 2},
    }


def searched(whole_run: Path, out: Path, *settings: str) -> Path:
    recipe = TINY.override(["search={}", *settings])
    stages.search(recipe, **folders(whole_run, "supernet"), out=out, progress=quiet)
    return out


def planned(whole_run: Path, search: Path, *settings: str) -> dict[str, Plan]:
    """What fine-tuning would train of a search."""
    recipe = TINY.override(["search={}", *settings])
    return plans(replace(job_of(whole_run, recipe), inputs={"search": search}))


def test_within_a_budget_a_smaller_and_less_probable_architecture_is_chosen(whole_run, tmp_path):
    free = outcome_of(whole_run / "search")
    limit = int(free["costs"]["params"] * 0.9)
    found = outcome_of(searched(whole_run, tmp_path / "search", f"budget.params={limit}"))
    assert found["costs"]["params"] <= limit
    assert found["quality"]["log_probability"] < free["quality"]["log_probability"]
    with pytest.raises(BudgetError, match="no architecture is within the budget"):
        searched(whole_run, tmp_path / "none", "budget.params=10")


def test_channels_of_the_finished_generator_are_its_own(whole_run, tmp_path):
    wide = searched(whole_run, tmp_path / "search", "search.channels=8")
    genotype = outcome_of(wide)["genotype"]
    assert genotype == outcome_of(whole_run / "search")["genotype"]
    cost = generator_cost("alphagan", 16, 16, genotype=genotype, channels=8, latent=6)
    assert outcome_of(wide)["costs"]["params"] == cost.params
    assert planned(whole_run, wide, "search.channels=8")["found"].generator["channels"] == 8


def test_a_random_architecture_is_of_about_the_probable_ones_size(whole_run, tmp_path):
    out = searched(whole_run, tmp_path / "search", "search={kind: random, random: 2}")
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert [trial["step"] for trial in trials] == ["argmax", "random", "random", "random"]
    assert outcome_of(out)["genotype"] == trials[1]["genotype"]
    sizes = [trial["costs"]["params"] for trial in trials]
    assert all(abs(size / sizes[0] - 1) <= 0.1 for size in sizes)
    found, *rivals = planned(whole_run, out, "search={kind: random, random: 2}", "finetune.rivals=[]").values()
    assert [plan.generator["genotype"] for plan in (found, *rivals)] == [trial["genotype"] for trial in trials[1:]]


REPEATS = ["search={repeats: 2, judged: 0.5}", "finetune.repeats=2", "finetune.rivals=[]", "objective.metric=fd:tiny"]


def test_of_repeated_searches_and_trainings_the_best_are_kept_and_all_are_told(whole_run, tmp_path):
    recipe, inputs = TINY.override(REPEATS), folders(whole_run)
    said = {}
    for stage in ("supernet", "search", "finetune"):
        said[stage] = getattr(stages, stage)(recipe, **inputs, out=tmp_path / stage, progress=quiet)
        inputs[stage] = tmp_path / stage
    # The first is the search that a recipe without repeats makes; the second has another seed.
    once, again = (load_weights(place / LOGITS) for place in (whole_run / "supernet", tmp_path / "supernet"))
    assert all(torch.equal(once[name], again[name]) for name in once)
    other = load_weights(tmp_path / "supernet" / "repeat1" / LOGITS)
    assert not any(torch.equal(once[name], other[name]) for name in once)
    assert said["supernet"]["updates"] == 2 * said["supernet"]["repeat1_updates"] == 6
    logs = [tmp_path / "supernet" / f"log-architecture{number}.jsonl" for number in ("", 1)]
    assert [len(log.read_text().splitlines()) for log in logs] == [4, 4]
    # Each was trained for one of two updates, from one seed, and the better one won.
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert [trial["step"] for trial in trials] == ["repeats-1", "repeats-1"]
    distances = [trial["quality"]["fd:tiny"] for trial in trials]
    assert outcome_of(tmp_path / "search")["quality"]["fd:tiny"] == min(distances)
    assert [said["search"][f"repeat{number}_fd:tiny"] for number in (0, 1)] == distances
    assert [said["search"][f"repeat{number}_log_probability"] for number in (0, 1)] == pytest.approx(
        [sum(float(each.double().log_softmax(0).max()) for each in those.values()) for those in (again, other)]
    )
    assert said["search"]["pictures"] == 2 * 1 * 4
    # Two trainings, of which the better one is kept; the effort of all is told.
    found = [said["finetune"][f"found_repeat{number}_fd:tiny"] for number in (0, 1)]
    assert found[0] != found[1]
    effort = json.loads((tmp_path / "finetune" / "networks.json").read_text())["found"]["effort"]
    assert (effort["updates"], effort["pictures"]) == (2, 8 + 2 * 2 * 4)
    kept = load_weights(tmp_path / "finetune" / "found.safetensors")
    job = replace(job_of(whole_run, recipe), out=tmp_path / "measured")
    net = build_generator(**plans(replace(job, inputs={"search": tmp_path / "search"}))["found"].generator)
    net.load_state_dict(kept)
    assert evaluator_of(job).measure(net.eval())["fd:tiny"] == pytest.approx(min(found))


def test_repeats_decide_only_the_stages_that_make_them():
    plain, searches = TINY.override(["search={}"]), TINY.override(["search={repeats: 3}", "objective.metric=fd:tiny"])
    drawn = searches.override(["search.kind=random"])
    read = {name: sections(STAGES[name], searches) for name in ("supernet", "search", "finetune")}
    assert read["supernet"]["search.repeats"] == 3
    assert "search.repeats" not in sections(STAGES["supernet"], drawn)
    assert sections(STAGES["supernet"], drawn) == sections(STAGES["supernet"], plain)
    assert "finetune.updates" in read["search"]
    assert "objective" not in read["finetune"]
    several = plain.override(["finetune.repeats=2"])
    assert {"objective", "evaluate.features"} <= set(sections(STAGES["finetune"], several))
    assert sections(STAGES["search"], several) == sections(STAGES["search"], plain)
    # Of one training nothing is told, as in recipes from before there were repeats.
    assert "repeats" not in sections(STAGES["finetune"], plain)["finetune"]
    with pytest.raises(RecipeError, match=r"finetune\.repeats is for the method alphagan alone"):
        check_rivals(several.model_copy(update={"method": "cf_gan"}))


def test_of_as_many_random_architectures_the_best_is_kept_by_the_same_rule(whole_run, tmp_path):
    given = [*REPEATS, "search={kind: random, repeats: 3, params: 2000, judged: 1}", "supernet.iterations=0"]
    recipe, inputs = TINY.override([*given, "finetune.repeats=1"]), folders(whole_run)
    said = stages.supernet(recipe, **inputs, out=tmp_path / "supernet", progress=quiet)
    assert said["updates"] == 0
    inputs["supernet"] = tmp_path / "supernet"
    said = stages.search(recipe, **inputs, out=tmp_path / "search", progress=quiet)
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert len({json.dumps(trial["genotype"]) for trial in trials}) == len(trials) == 3
    assert all(abs(trial["costs"]["params"] / 2000 - 1) <= 0.1 for trial in trials)
    distances = [said[f"repeat{number}_fd:tiny"] for number in range(3)]
    assert said["val_fd:tiny"] == min(distances)
    # What was trained to the end is not trained again.
    inputs["search"] = tmp_path / "search"
    told = []
    stages.finetune(recipe, **inputs, out=tmp_path / "finetune", progress=lambda what, *rest: told.append(what))
    assert "found, already trained by the search" in told


def test_a_published_architecture_is_trained_without_any_search(whole_run, tmp_path):
    settings = ["supernet={iterations: 0, channels: 4}", "search={kind: published, genotype: alphagan_s}"]
    recipe = TINY.override([*settings, "finetune.rivals=[]"])
    inputs = folders(whole_run)
    said = stages.supernet(recipe, **inputs, out=tmp_path / "supernet", progress=quiet)
    assert said["steps"] == said["updates"] == 0
    inputs["supernet"] = tmp_path / "supernet"
    # Of logits that nothing trained, nothing is told.
    assert "entropy" not in stages.search(recipe, **inputs, out=tmp_path / "search", progress=quiet)
    assert outcome_of(tmp_path / "search")["genotype"] == PUBLISHED["alphagan_s"].to_json()
    stages.finetune(recipe, **inputs, search=tmp_path / "search", out=tmp_path / "finetune", progress=quiet)
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())
    assert list(about) == ["found"]
    assert about["found"]["options"]["genotype"] == PUBLISHED["alphagan_s"].to_json()
    with pytest.raises(BudgetError, match="the published architecture must be within the budget"):
        stages.search(recipe.override(["budget.params=10"]), **inputs, out=tmp_path / "over", progress=quiet)
    own = recipe.override([f"search.genotype={json.dumps(PUBLISHED['alphagan_l'].to_json())}"])
    stages.search(own, **inputs, out=tmp_path / "own", progress=quiet)
    assert outcome_of(tmp_path / "own")["genotype"] == PUBLISHED["alphagan_l"].to_json()


def test_an_epoch_covers_all_images_but_the_test_images(whole_run, tmp_path):
    # 12 and 8 images in batches of 4: five updates.
    recipe = TINY.override(["finetune.updates=null", "finetune.epochs=1", "finetune.rivals=[]", "search={}"])
    inputs = folders(whole_run, "supernet")
    stages.search(recipe, **inputs, out=tmp_path / "search", progress=quiet)
    stages.finetune(recipe, **inputs, search=tmp_path / "search", out=tmp_path / "finetune", progress=quiet)
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())
    assert about["found"]["updates"] == 5


def test_a_searched_discriminator_is_read_off_and_used_in_fine_tuning(whole_run, tmp_path, monkeypatch):
    recipe = TINY.override(["supernet.discriminator=searched", "search={discriminator: found}"])
    inputs = folders(whole_run)
    stages.supernet(recipe, **inputs, out=tmp_path / "supernet", progress=quiet)
    inputs["supernet"] = tmp_path / "supernet"
    stages.search(recipe, **inputs, out=tmp_path / "search", progress=quiet)
    genotype = json.loads((tmp_path / "search" / "discriminator.json").read_text())
    logits = load_weights(tmp_path / "supernet" / f"discriminator_{LOGITS}")
    for name, choice in JUDGES.items():
        assert genotype[name] == choice.options[int(logits["logits/" + name.replace(".", "/")].argmax())]
    judged = []

    def watched(self, job, training):
        judged.append(training.discriminator.genotype.to_json())
        return training.generator.eval()

    monkeypatch.setattr("slimgen.tasks.unconditional.Unconditional.train_original", watched)
    stages.finetune(recipe, **inputs, search=tmp_path / "search", out=tmp_path / "finetune", progress=quiet)
    assert judged == [genotype, genotype]


def test_without_deconvolutions_none_is_found(whole_run, tmp_path):
    recipe = TINY.override(["supernet.deconvolution=false", "supernet.interpolation=learned", "search={}"])
    inputs = folders(whole_run)
    stages.supernet(recipe, **inputs, out=tmp_path / "supernet", progress=quiet)
    inputs["supernet"] = tmp_path / "supernet"
    said = stages.search(recipe, **inputs, out=tmp_path / "search", progress=quiet)
    assert said["space_size"] == alphagan_space(deconvolution=False).size == (6**3 * 2**2) ** 3 * 2**3
    assert "deconv" not in outcome_of(tmp_path / "search")["genotype"].values()
    job = replace(job_of(whole_run, recipe), inputs={"search": tmp_path / "search"})
    assert plans(job)["found"].generator["interpolation"] == "learned"


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["supernet.gap=false", "supernet.coupled=true"], "'gap' must be hinge or scores"),
        (["supernet.gap=false", "supernet.bar=logits"], "'gap' must be hinge or scores"),
        (["supernet.gap=false", "supernet.discriminator=searched"], "'gap' must be hinge or scores"),
        (["supernet.critic_steps=7"], "'critic_steps' must be at most iterations x weight_steps"),
        (["losses.gan=least-squares"], "hinge or vanilla; got 'least-squares'"),
        (["supernet={relaxation: gumbel, temperature: [0.1, 5]}"], "must not rise"),
        (["supernet.betas=[1, 0.9]"], "supernet: betas.0: must be below 1"),
        (
            ["task=paired", "finetune={updates: 1}", "teach={updates: 1}"],
            "needs a task whose generator makes images from noise",
        ),
        (["supernet.temperature=[1, 1]"], "'temperature' needs a 'relaxation' that draws noise"),
        (["supernet={relaxation: gumbel, temperature: [1, 0]}"], "'temperature' must be above 0"),
        (["supernet={coupled: true, bar: both}"], "'coupled' needs 'bar' weights"),
        (["supernet.weigth_steps=3"], "no key 'weigth_steps'"),
        (["supernet.iterations=0", "search={}"], "search.kind gradient needs supernet.iterations above 0"),
        (["search={kind: published}"], "needs search.genotype"),
        (["search={kind: published, genotype: alphagan_s}"], "needs no search"),
        (["search={kind: published, genotype: alphagan_m}", "supernet.iterations=0"], "did you mean 'alphagan_"),
        (["search.genotype=alphagan_s"], "search.genotype needs search.kind published"),
        (["search.params=5"], "search.params needs search.kind random"),
        (["search={equal_size: 0.2}"], "search.equal_size needs search.kind random or search.random"),
        (["search={kind: random}", "supernet.iterations=0"], "random architectures need a size"),
        (["search.discriminator=found"], "needs supernet.discriminator searched"),
        (["objective.metric=fid"], "leave the section objective out"),
        (["finetune.updates=0"], "must train the found generator from scratch"),
        (["finetune.inherit=true"], "must train the found generator from scratch"),
        (["size=20"], "multiples of 8"),
        (
            ["search={repeats: 2, random: 1}"],
            "search.random needs another search.kind than halving, and search.repeats 1",
        ),
        (
            ["search={kind: halving, repeats: 2}", "supernet.iterations=0"],
            "search.repeats needs search.kind gradient or r",
        ),
        (["search={judged: 0.5}"], "search.judged needs search.repeats above 1"),
        (["search={repeats: 2}", "objective.metric=psnr"], "must be a metric of whole sets"),
        (["finetune.repeats=2", "objective.metric=psnr"], "must be a metric of whole sets"),
        (["supernet.discriminator=searched", "search={repeats: 2, discriminator: found}"], "needs search.repeats 1"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_with_the_reason(settings, rule):
    with pytest.raises(RecipeError, match=rule):
        check(TINY.override(settings))
