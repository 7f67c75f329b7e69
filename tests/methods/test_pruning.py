"""Pruning one generator: what it needs and refuses, its three searches, its targets, and resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from slimgen import stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import BudgetError, RecipeError, SlimgenError
from slimgen.methods.pruning import check
from slimgen.methods.pruning.distilling import imitating
from slimgen.methods.pruning.judging import Judged, opened
from slimgen.methods.pruning.options import SearchOptions
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.fit import Memo
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_pruning.yaml").read_text()).override(["export.dynamic=false"])
CPU = Compute(torch.device("cpu"))
ALONE = ["losses.adversarial=0", "teach.generator_checkpoint=generator.safetensors"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=9, test=3, size=32, layout="paired")
    return folder


@pytest.fixture(scope="module")
def begun(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "begun"
    stages.run(TINY, data=images, out=out, until="supernet", progress=quiet)
    return out


def judged(begun: Path, out: Path, settings: list[str]) -> Judged:
    recipe = TINY.override(settings)
    folders = {name: begun / name for name in ("prepare", "teach", "supernet")}
    data, task = Prepared.open(begun / "prepare"), open_task(recipe, CPU)
    work = Job(recipe, CPU, task, data, folders, out, lambda name: None, quiet)
    return Judged(work, opened(work), section(SearchOptions, recipe.search, "search"))


@pytest.mark.parametrize("criterion", ["pixels", "discriminator"])
@pytest.mark.parametrize("targets", ["original", "data"])
def test_the_distance_is_the_mean_square_of_what_the_criterion_sees(begun, tmp_path, criterion, targets):
    found = judged(begun, tmp_path, [f"search.criterion={criterion}", f"supernet.targets={targets}"])
    genotype = found.pruned.filters.strongest(0.5)
    val, task = whole(Prepared.open(begun / "prepare").split("val")), found.job.task
    original, discriminator = task.original(begun / "teach"), task.discriminator().eval()
    discriminator.load_state_dict(load_weights(begun / "teach" / "discriminator.safetensors"))
    with torch.no_grad():
        wanted = original(val.input) if targets == "original" else val.target
        pair = [wanted, found.pruned.cut(genotype)(val.input)]
        if criterion == "discriminator":
            pair = [discriminator(torch.cat([val.input, each], 1)) for each in pair]
        distance = float((pair[0] - pair[1]).square().mean())
    (trial,) = found.trials([genotype])
    assert trial.quality["distance"] == pytest.approx(distance, rel=1e-3)


def test_the_whole_original_has_distance_zero(begun, tmp_path):
    found = judged(begun, tmp_path, ["supernet.compensate=false"])
    (trial,) = found.trials([found.pruned.filters.space.largest()])
    assert trial.quality["distance"] < 1e-10
    assert trial.quality["share"] == 1


def searched(begun: Path, out: Path, settings: list[str]) -> list[dict]:
    folders = {name: begun / name for name in ("prepare", "teach", "supernet")}
    stages.search(TINY.override(settings), **folders, out=out / "search", progress=quiet)
    return [json.loads(line) for line in (out / "search" / "trials.jsonl").read_text().splitlines()]


def test_evolution_begins_with_magnitude_and_greedy_and_finds_nothing_worse(begun, tmp_path):
    evolved = searched(begun, tmp_path / "evolution", [])
    limit = generator_cost("resnet", 16, 16, ngf=4, blocks=2).exact / 2
    assert all(trial["costs"]["macs"] <= limit for trial in evolved)
    best = min(trial["quality"]["distance"] for trial in evolved)
    for number, kind in enumerate(("magnitude", "greedy")):
        (one,) = searched(begun, tmp_path / kind, [f"search={{kind: {kind}}}"])
        assert one["key"] == evolved[number]["key"]
        assert one["quality"]["distance"] >= best


def test_a_candidate_can_be_trained_before_it_is_measured(begun, tmp_path):
    (plain, *_), (tuned, *_) = (
        searched(begun, tmp_path / f"{updates}", [f"search.tune={updates}", "finetune.rate=0.002"])
        for updates in (0, 20)
    )
    assert plain["key"] == tuned["key"]
    assert tuned["quality"]["distance"] < plain["quality"]["distance"]


def test_layers_that_lost_filters_imitate_the_same_filters_of_the_original(begun, tmp_path):
    found = judged(begun, tmp_path, ["supernet.distill=3"])
    filters, original = found.pruned.filters, found.pruned.net
    genotype, batch = filters.strongest(0.5), whole(Prepared.open(begun / "prepare").split("val"))
    net = filters.cut(genotype)
    how = imitating(found.job, filters, genotype, net)
    (term,), memo = how["guidance"].terms, Memo(0)
    with torch.no_grad():
        made = how["generate"](batch.input, Genotype({}), memo)
        assert torch.equal(made, net(batch.input))
        # By hand: what every layer of both networks makes of the images.
        kept = {name: one.outputs for name, one in filters.kept(genotype).items() if one.outputs is not None}
        seen: dict[str, dict[str, torch.Tensor]] = {"cut": {}, "whole": {}}
        for which, each in (("cut", net), ("whole", original)):
            for name in kept:
                each.get_submodule(name).register_forward_hook(
                    lambda module, given, out, at=seen[which], name=name: at.update({name: out})
                )
            each(batch.input)
        wanted = {name: seen["whole"][name][:, at] for name, at in kept.items()}
        shares = [(seen["cut"][name] - one).square().mean() / one.square().mean() for name, one in wanted.items()]
    first = next(name for name in kept if isinstance(original.get_submodule(name), torch.nn.Conv2d))
    assert torch.allclose(seen["cut"][first], wanted[first], atol=1e-6)  # it reads whole images
    (value,) = term(batch, made, memo).values()
    assert float(value) == pytest.approx(3 * float(torch.stack(shares).mean()), rel=1e-4)


def test_imitation_is_a_term_of_the_training_and_leaves_nothing_behind(images, tmp_path):
    stages.run(
        TINY.override(["supernet.distill=3"]), data=images, out=tmp_path / "run", until="finetune", progress=quiet
    )
    (log,) = (tmp_path / "run" / "finetune").glob("log-found*.jsonl")
    assert all("generator.distill" in json.loads(line) for line in log.read_text().splitlines())


def test_a_search_that_was_killed_goes_on_with_the_same_trials(begun, tmp_path):
    class Killed(BaseException):
        pass

    def killed(step: str, done: int, *rest: object) -> None:
        if done >= 4:
            raise Killed

    folders = {name: begun / name for name in ("prepare", "teach", "supernet")}
    with pytest.raises(Killed):
        stages.search(TINY, **folders, out=tmp_path / "killed" / "search", progress=killed)
    resumed = searched(begun, tmp_path / "killed", [])
    assert resumed == searched(begun, tmp_path / "elsewhere" / "not beside it", [])


@pytest.fixture
def generator(tmp_path, monkeypatch) -> Path:
    """Weights alone, as a user has them."""
    monkeypatch.chdir(tmp_path)
    save_weights(tmp_path / "generator.safetensors", build_generator("resnet", ngf=4, blocks=2, seed=1).state_dict())
    return tmp_path


def test_single_pictures_and_weights_alone_are_enough_and_are_measured_against_the_original(generator, images):
    settings = [*ALONE, "task=single", "data={validation: 3, test: 2}", "search={kind: greedy}", "finetune.updates=4"]
    recipe = TINY.override([*settings, "finetune.rate=0.002", "finetune.rivals=[random]", "finetune.random=1"])
    stages.run(recipe, data=images / "train", out=generator / "run", until="evaluate", progress=quiet)
    table = json.loads((generator / "run" / "evaluate" / "table.json").read_text())
    rows = {row["name"]: row for row in table["rows"]}
    assert set(rows) == {"original", "found", "random1"}
    assert rows["original"]["metrics"]["psnr"] == 100  # the original's outputs are the targets
    assert "targets are the original's outputs" in table["protocol"]
    half = rows["original"]["macs"]["exact"] / 2
    assert all(row["macs"]["exact"] <= half for name, row in rows.items() if name != "original")
    assert all(row["updates"] == 4 for name, row in rows.items() if name != "original")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([ALONE[1]], "without a discriminator, losses.adversarial must be 0"),
        ([*ALONE, "search.criterion=discriminator"], "criterion discriminator needs the original's discriminator"),
        (["search.criterion=features"], "losses.perceptual_network, which must be named"),
        ([*ALONE, "task=single", "data={}", "evaluate.metrics=[]"], "must be divided"),
        (["task=unpaired", "supernet.targets=data"], "needs pairs"),
        (["budget={}"], "pruning needs a budget"),
        (["search={kind: greedy, population: 4}"], "search.population needs search.kind evolution"),
        (["losses.recon=0"], "trains by distillation"),
        (["finetune.rivals=[halving]"], "must suit the method pruning"),
        (
            ["teach.generator={family: mobile_resnet, ngf: 4, config: 4_4_4_4_4_4_4_4}", "task=unconditional"],
            "takes images",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(settings, words):
    with pytest.raises(SlimgenError, match=words) as refused:
        check(TINY.override(settings))
    assert "\n" not in str(refused.value)


def test_one_direction_of_two_sets_without_partners_is_measured_against_the_originals_own_outputs(generator, tmp_path):
    pictures = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        for side in "AB":
            (tmp_path / "sets" / f"{split}{side}").mkdir(parents=True)
            for number in range(count):
                pixels = pictures.integers(0, 256, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "sets" / f"{split}{side}" / f"{side}{number}.png")
    recipe = TINY.override([*ALONE, "task=unpaired", "supernet.targets=original", "evaluate.metrics=[psnr]"])
    out = tmp_path / "run"
    stages.run(recipe, data=tmp_path / "sets", out=out, until="evaluate", progress=quiet)
    table = json.loads((out / "evaluate" / "table.json").read_text())
    assert "targets are the original's outputs, since test images have no partners" in table["protocol"]
    quality = {row["name"]: row["metrics"]["psnr"] for row in table["rows"]}
    assert quality["original"] > 60 > quality["found"]
    # A metric of sets compares with the other set.
    mixed = recipe.override(["evaluate={metrics: [psnr, 'fd:net'], features: {net: {path: net.pt}}}"])
    assert open_task(recipe, CPU).answers
    assert not open_task(mixed, CPU).answers


def test_a_budget_out_of_reach_names_the_smallest_cost():
    with pytest.raises(BudgetError, match=r"the smallest network of this space has ([\d,]+) macs") as refused:
        check(TINY.override(["budget.macs=100"]))
    assert "a limit of 100" in str(refused.value)


def test_unknown_targets_are_refused():
    with pytest.raises(RecipeError, match="targets: must be 'original' or 'data'"):
        check(TINY.override(["supernet.targets=nothing"]))
