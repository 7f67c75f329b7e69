"""CycleGANAS from images to four networks: its optimisations, what is chosen, and what the repeats leave."""

import json
import math
import random
import shutil
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.data.townhouses import write
from slimgen.device import Compute
from slimgen.errors import BudgetError, DataError, RecipeError, RunError, SlimgenError
from slimgen.methods.cyclegan_nas import LOGITS, check, search
from slimgen.methods.cyclegan_nas_options import SupernetOptions, equal_hidden
from slimgen.methods.cyclegan_nas_phases import (
    DISCRIMINATORS,
    GENERATORS,
    Half,
    batches,
    joined,
    part,
    phases,
    players,
    pools_of,
)
from slimgen.methods.cyclegan_nas_retraining import Comparison
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Goal, Recipe, section
from slimgen.run.record import read_record
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.job import Job
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, fit

TINY = Recipe.parse((Path(__file__).parent / "tiny_cyclegan_nas.yaml").read_text())
CPU = Compute(torch.device("cpu"))
TWO_STEP = ("TF", "TH", "THS")


def quiet(what, done, total, values) -> None:
    """No progress in tests."""


@pytest.fixture(scope="module", autouse=True)
def no_tracking_server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # refuses at once, which is quicker than any store
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=12, night=10, test=3, size=32, layout="unpaired")
    return folder


@pytest.fixture(scope="module")
def whole_run(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    stages.run(TINY, data=images, out=out, tell=quiet)
    return out


def folders(run: Path, *names: str) -> dict[str, Path]:
    return {name: run / name for name in ("prepare", "teach", *names)}


def options_of(recipe: Recipe) -> SupernetOptions:
    return section(SupernetOptions, recipe.supernet, "supernet")


def job_of(run: Path, recipe: Recipe, out: Path = Path()) -> Job:
    task = open_task(recipe, CPU)
    data = Prepared.open(run / "prepare")
    return Job(recipe, CPU, task, data, folders(run, "supernet"), out, lambda name: Journal(), quiet)


def searching(run: Path, optimisation: str, *settings: str):
    """What trains, its phases and batches, of a training of 4 steps."""
    recipe = TINY.override([f"supernet.optimisation={optimisation}", *settings])
    work, options = job_of(run, recipe), options_of(recipe)
    those = players(work, options, 4)
    return those, phases(work, options, those, pools_of(work, options), 4), batches(work, options, 4)


def copies(parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def moved(before: list[torch.Tensor], parameters: list[nn.Parameter]) -> list[bool]:
    return [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]


def identities(parameters: list[nn.Parameter]) -> set[int]:
    return {id(parameter) for parameter in parameters}


def test_the_joined_space_is_the_papers():
    assert f"{joined(SupernetOptions(epochs=400)).size:.1e}" == "8.1e+37"


def test_in_one_step_one_optimizer_of_each_player_moves_weights_and_logits(whole_run):
    those, found, data = searching(whole_run, "OF")
    assert [(phase.name, phase.split) for phase in found] == [("generator", "train"), ("discriminator", "train")]
    for phase, roles in zip(found, (GENERATORS, DISCRIMINATORS), strict=True):
        assert identities(phase.parameters) == identities([*those.weights(roles), *those.logits(roles)])
        assert {group["lr"] for group in phase.optimizer.param_groups} == {2e-4}
        assert phase.optimizer.param_groups[0]["betas"] == (0.5, 0.999)
        assert [phase.rate(step) for step in range(4)] == [1, 1, 1, 1]
    everything = [weight for phase in found for weight in phase.parameters]
    before = copies(everything)
    fit(found, fixed(Genotype({})), data, 1, seed=0, compute=CPU, state={})
    # A bias before a norm does nothing, and its gradient is zero or noise.
    weights = [value for net in those.nets.values() for name, value in net.named_parameters() if "bias" not in name]
    changed = dict(zip(map(id, everything), moved(before, everything), strict=True))
    assert all(changed[id(weight)] for weight in weights)
    logits = [logit for roles in (GENERATORS, DISCRIMINATORS) for logit in those.logits(roles)]
    assert len(logits) == 2 * 6 + 2 * 4
    assert all(changed[id(logit)] for logit in logits)


def test_logits_without_a_rate_of_their_own_have_that_of_their_networks_weights(whole_run):
    _, found, _ = searching(whole_run, "OF", "supernet.discriminator_rate=5e-4")
    rates = [{group["lr"] for group in phase.optimizer.param_groups} for phase in found]
    assert rates == [{2e-4}, {5e-4}]


@pytest.mark.parametrize("optimisation", TWO_STEP)
def test_in_two_steps_weights_and_logits_move_in_turns_on_data_of_their_own(whole_run, optimisation):
    those, found, data = searching(whole_run, optimisation, "supernet.architecture_rate=0.01")
    assert [(phase.name, phase.split) for phase in found] == [
        ("generator", "first"),
        ("discriminator", "first"),
        ("architecture_generator", "second"),
        ("architecture_discriminator", "second"),
    ]
    moves = [those.weights(GENERATORS), those.weights(DISCRIMINATORS)]
    moves += [those.logits(GENERATORS), those.logits(DISCRIMINATORS)]
    for phase, wanted in zip(found, moves, strict=True):
        assert identities(phase.parameters) == identities(wanted)
    assert [phase.optimizer.param_groups[0]["lr"] for phase in found] == [2e-4, 2e-4, 0.01, 0.01]
    before = [copies(parameters) for parameters in moves]
    fit(found, fixed(Genotype({})), data, 1, seed=0, compute=CPU, state={})
    for old, parameters in zip(before[2:], moves[2:], strict=True):
        assert all(moved(old, parameters))
        # The first step of Adam is as long as its rate.
        longest = max(float((one - two.detach()).abs().max()) for one, two in zip(old, parameters, strict=True))
        assert longest == pytest.approx(0.01, rel=1e-3)
    for old, parameters in zip(before[:2], moves[:2], strict=True):
        assert any(moved(old, parameters))


def test_the_discriminators_judge_what_the_generators_made_in_the_same_step(whole_run):
    those, found, data = searching(whole_run, "OF", "supernet.relaxation=gumbel")
    batch, memo = data["train"](0), {"step": 0}
    torch.manual_seed(0)
    arch = found[0].draw(0)[0]
    found[0].loss(batch, arch, memo)
    made = [
        those.nets[role](images, part(arch, role))
        for role, images in zip(GENERATORS, (batch.input, batch.target), strict=True)
    ]
    judges = [net.eval() for net in (those.nets[role] for role in DISCRIMINATORS)]
    own = found[1].draw(0)[0]
    terms = found[1].loss(batch, own, {"step": 0})
    for judge, role, name, real, fake in zip(
        judges, DISCRIMINATORS, ("loss", "back_loss"), (batch.target, batch.input), made, strict=True
    ):
        wanted = (judge(real, part(own, role)) - 1).square().mean() + judge(fake, part(own, role)).square().mean()
        # Two power iterations apart: the spectral norms of the generators moved between.
        torch.testing.assert_close(terms[name], wanted / 2, atol=2e-3, rtol=1e-2)


def test_the_halves_of_either_set_are_disjoint_equal_and_all_there_is(whole_run):
    data = Prepared.open(whole_run / "prepare")
    train = data.split("train")
    halves = [Half.of(data, half, seed=4).split("train") for half in (0, 1)]
    for names, side in (("names", "input"), ("target_names", "target")):
        one, two = (getattr(half, names) for half in halves)
        assert not set(one) & set(two)
        assert set(one) | set(two) == set(getattr(train, names))
        assert 0 <= len(one) - len(two) <= 1
        for half in halves:
            rows = [getattr(train, names).index(name) for name in getattr(half, names)]
            assert np.array_equal(getattr(half, side), getattr(train, side)[rows])
    assert len(Half.of(data, 0, seed=4).split("val")) == 3
    other = Half.of(data, 0, seed=5).split("train")
    assert (other.names, other.target_names) != (halves[0].names, halves[0].target_names)


def seen(source, steps: range) -> set[bytes]:
    """The inputs of some steps, told apart by their pixels."""
    return {image.numpy().tobytes() for step in steps for image in source(step).input.contiguous()}


def test_halves_keep_their_roles_in_th_and_change_them_midway_in_ths(whole_run):
    work = job_of(whole_run, TINY.override(["data.flip=false"]))
    every = seen(lambda step: whole(work.data.split("train")), range(1))
    for name in ("TH", "THS"):
        options = SupernetOptions(updates=20, batch=2, optimisation=name)
        found = batches(work, options, 20)
        early, late = range(10), range(10, 20)
        first, second = seen(found["first"], early), seen(found["second"], early)
        assert not first & second
        assert first | second == every
        swapped = (second, first) if name == "THS" else (first, second)
        assert (seen(found["first"], late), seen(found["second"], late)) == swapped


def test_in_tf_both_see_all_images_and_never_the_same_batch(whole_run):
    work = job_of(whole_run, TINY.override(["data.flip=false"]))
    found = batches(work, SupernetOptions(updates=9, batch=3, optimisation="TF"), 9)
    assert seen(found["first"], range(9)) == seen(found["second"], range(9))
    assert all(not torch.equal(found["first"](step).input, found["second"](step).input) for step in range(9))


class KilledError(Exception):
    """Stands for the signal."""


@pytest.mark.parametrize("settings", [["supernet.relaxation=gumbel"], ["supernet.optimisation=THS"]])
def test_a_search_killed_amid_training_leaves_the_same_logits_and_trace(whole_run, tmp_path, monkeypatch, settings):
    recipe = TINY.override([*settings, "supernet.updates=6", "compute.checkpoint_seconds=0.0001"])
    inputs = folders(whole_run)
    stages.supernet(recipe, **inputs, out=tmp_path / "alone" / "supernet", tell=quiet)
    killed = tmp_path / "elsewhere" / "killed" / "supernet"

    def dying(what, done, total, values) -> None:
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        stages.supernet(recipe, **inputs, out=killed, tell=dying)
    assert list(killed.rglob("step-*.pt"))
    stages.supernet(recipe, **inputs, out=killed, tell=quiet)
    for name in (LOGITS, "relaxation.jsonl", "log-supernet.jsonl"):
        assert (killed / name).read_bytes() == (tmp_path / "alone" / "supernet" / name).read_bytes()


def outcome_of(out: Path) -> dict:
    return json.loads((out / "genotype.json").read_text())


def test_the_most_probable_operation_of_every_place_is_chosen(whole_run):
    logits = load_weights(whole_run / "supernet" / LOGITS)
    genotype = outcome_of(whole_run / "search")["genotype"]
    space = joined(options_of(TINY))
    assert set(genotype) == {*space, "hidden"}
    for name, choice in space.items():
        own = logits["logits/" + name.replace(".", "/")]
        assert genotype[name] == choice.options[int(own.argmax())]
    said = json.loads((whole_run / "search" / "stage.json").read_text())["metrics"]
    likely = sum(float(those.double().log_softmax(0).max()) for those in logits.values())
    assert said["val_log_probability"] == pytest.approx(likely, rel=1e-5)
    assert (said["input_images"], said["target_images"]) == (9, 7)


def test_both_generators_together_are_as_large_as_the_plain_cyclegans_and_no_larger(whole_run):
    genotype = Genotype.from_json(outcome_of(whole_run / "search")["genotype"])
    limit = 2 * generator_cost("resnet", 32, 32, ngf=6, blocks=1).params

    def params(hidden: int) -> int:
        return sum(
            generator_cost("cyclegan_nas", 32, 32, genotype=genotype.under(role), hidden=hidden, cells=3).params
            for role in GENERATORS
        )

    hidden = genotype["hidden"]
    assert params(hidden) <= limit < params(hidden + 1)
    said = json.loads((whole_run / "search" / "stage.json").read_text())["metrics"]
    assert said["total_params"] == params(hidden) == said["params"] + said["back_params"]
    assert said["back_share"] == said["back_params"] / said["total_params"]


def test_the_run_ends_with_both_directions_found_and_uniform_as_they_were_kept(whole_run):
    rows = {row["name"]: row for row in json.loads((whole_run / "evaluate" / "table.json").read_text())["rows"]}
    assert set(rows) == {f"{name}{way}" for name in ("original", "found", "uniform") for way in ("", "_back")}
    about = json.loads((whole_run / "finetune" / "networks.json").read_text())
    for way in ("", "_back"):
        assert rows[f"found{way}"]["family"] == "cyclegan_nas"
        narrower = {**about[f"uniform{way}"]["options"], "ngf": about[f"uniform{way}"]["options"]["ngf"] - 1}
        found = rows[f"found{way}"]["params"]
        assert generator_cost("resnet", 32, 32, **narrower).params < found <= rows[f"uniform{way}"]["params"]
        assert rows[f"found{way}"]["updates"] == rows[f"uniform{way}"]["updates"] == 2
    assert (whole_run / "export" / "generator.onnx").is_file()
    assert (whole_run / "search" / "relaxation.png").is_file()
    assert "Relaxation" in (whole_run / "evaluate" / "report.html").read_text()


def test_of_the_repeats_the_best_is_kept_and_all_are_told(whole_run):
    work = job_of(whole_run, TINY)
    comparison = Comparison(work, Goal(), {})
    told = read_record(whole_run / "finetune")["metrics"]
    about = json.loads((whole_run / "finetune" / "networks.json").read_text())
    for name in ("found", "uniform"):
        pair = []
        for way in ("", "_back"):
            net = build_generator(about[f"{name}{way}"]["family"], **about[f"{name}{way}"]["options"])
            net.load_state_dict(load_weights(whole_run / "finetune" / f"{name}{way}.safetensors"))
            pair.append(net.eval())
        values = [told[f"{name}_repeat{number}_psnr"] for number in (0, 1)]
        assert len(set(values)) == 2  # from two seeds
        assert comparison.measure(*pair)["psnr"] == pytest.approx(max(values), abs=1e-3)
        both = [told[f"{name}_repeat0_{way}"] for way in ("forth", "back")]
        assert values[0] == sum(both) / 2


def test_repeats_killed_amid_the_second_end_as_left_alone(whole_run, tmp_path):
    recipe = TINY.override(["finetune={updates: 4, batch: 2, ema: 0.5}", "compute.checkpoint_seconds=0.0001"])
    inputs = folders(whole_run, "supernet", "search")
    stages.finetune(recipe, **inputs, out=tmp_path / "alone" / "finetune", tell=quiet)
    killed = tmp_path / "elsewhere" / "killed" / "finetune"

    def dying(what, done, total, values) -> None:
        if what == "found1" and done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        stages.finetune(recipe, **inputs, out=killed, tell=dying)
    assert list((killed / "checkpoints" / "found1").glob("step-*.pt"))
    stages.finetune(recipe, **inputs, out=killed, tell=quiet)
    for name in ("found.safetensors", "found_back.safetensors", "networks.json"):
        assert (killed / name).read_bytes() == (tmp_path / "alone" / "finetune" / name).read_bytes()


def test_another_feature_network_of_the_objective_trains_anew(whole_run, tmp_path):
    network = tmp_path / "network.pt"
    inputs, left = folders(whole_run, "supernet"), []
    for number in range(2):
        network.write_bytes(bytes([number]))
        recipe = TINY.override(["objective.metric=fd:n", f"evaluate.features={{n: {{path: {network}}}}}"])
        stages.search(recipe, **inputs, out=tmp_path / "search", tell=quiet)
        left.append(json.loads((tmp_path / "search" / "stage.json").read_text())["digest"])
    assert left[0] != left[1]


def test_a_random_architecture_is_of_about_the_found_ones_size_and_none_is_more_probable(whole_run, tmp_path):
    recipe = TINY.override(["search={kind: random, networks: 4, equal_size: 0.05, repeats: 1}"])
    stages.search(recipe, **folders(whole_run, "supernet"), out=tmp_path / "search", tell=quiet)
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert [trial["step"] for trial in trials] == ["argmax", *["random"] * 4]
    assert trials[0]["genotype"] == outcome_of(whole_run / "search")["genotype"]
    assert outcome_of(tmp_path / "search")["genotype"] == trials[1]["genotype"]
    sizes = []
    for trial in trials:
        genotype = Genotype.from_json(trial["genotype"])
        options = {"hidden": genotype["hidden"], "cells": 3}
        costs = [
            generator_cost("cyclegan_nas", 32, 32, genotype=genotype.under(role), **options) for role in GENERATORS
        ]
        sizes.append(sum(cost.params for cost in costs))
    assert all(abs(size / sizes[0] - 1) <= 0.05 for size in sizes[1:])
    likelihoods = [trial["quality"]["log_probability"] for trial in trials]
    assert all(other < likelihoods[0] for other in likelihoods[1:])
    assert len({trial["key"] for trial in trials}) == 5


def test_random_architectures_that_are_never_of_that_size_are_an_error(whole_run, tmp_path, monkeypatch):
    monkeypatch.setattr("slimgen.methods.cyclegan_nas._TRIES", 20)
    relaxation = Relaxation(joined(options_of(TINY)), seed=0, spread=0)
    largest = relaxation.space.largest()
    with torch.no_grad():
        for name, those in relaxation.options.items():
            relaxation.logits(name)[those.index(largest[name])] = 1
    inputs = folders(whole_run)
    recipe = TINY.override(["search={kind: random, hidden: 8, equal_size: 0.001}", "supernet.spread=0.002"])
    stages.supernet(recipe, **inputs, out=tmp_path / "supernet", tell=quiet)
    save_weights(tmp_path / "supernet" / LOGITS, relaxation.state_dict())
    with pytest.raises(RunError, match=r"of 20 random architectures.*search.equal_size"):
        stages.search(recipe, **inputs, supernet=tmp_path / "supernet", out=tmp_path / "search", tell=quiet)


def test_an_operation_that_training_has_excluded_is_infinitely_unlikely_but_has_a_likelihood(whole_run, tmp_path):
    logits = load_weights(whole_run / "supernet" / "logits.safetensors")
    steep = {name: 200.0 * torch.arange(len(values)) for name, values in logits.items()}
    inputs = folders(whole_run, "supernet")
    shutil.copytree(whole_run / "supernet", tmp_path / "supernet")
    save_weights(tmp_path / "supernet" / "logits.safetensors", steep)
    recipe = TINY.override(["search.kind=random", "search.networks=1", "search.equal_size=0.9"])
    job = replace(job_of(whole_run, recipe, tmp_path), inputs={**inputs, "supernet": tmp_path / "supernet"})
    likely, drawn = search(job).trials
    assert likely.quality["log_probability"] == 0
    assert -math.inf < drawn.quality["log_probability"] <= -200


@pytest.mark.parametrize("optimisation", ["TH", "THS"])
def test_a_set_of_one_image_has_no_halves(whole_run, optimisation):
    recipe = TINY.override([f"supernet.optimisation={optimisation}"])
    work = job_of(whole_run, recipe)
    full = work.data.split("train")
    alone = replace(full, target=full.target[:1], target_names=full.target_names[:1], paired=False)

    class Alone(Prepared):
        """One image is in the second set."""

        def split(self, name):
            return alone

    same = {field.name: getattr(work.data, field.name) for field in fields(work.data)}
    with pytest.raises(DataError, match=f"{optimisation} needs two training images of either set"):
        batches(replace(work, data=Alone(**same)), options_of(recipe), 4)


def test_found_discriminators_or_the_originals_judge_what_is_trained_anew(whole_run, tmp_path, monkeypatch):
    judged = []
    train = "slimgen.methods.cyclegan_nas_retraining.train_cycle"

    def watched(job, name, forth, back, schedule, steps, *, ema=None):
        judged.append(type(forth.discriminator).__name__)
        return forth.generator.eval(), back.generator.eval()

    monkeypatch.setattr(train, watched)
    for number, (discriminators, extra) in enumerate((("found", ", discriminator_hidden: 3"), ("original", ""))):
        recipe = TINY.override([f"search={{hidden: 8, discriminators: {discriminators}{extra}}}"])
        out = tmp_path / str(number)
        inputs = folders(whole_run, "supernet")
        stages.search(recipe, **inputs, out=out / "search", tell=quiet)
        stages.finetune(recipe, **inputs, search=out / "search", out=out / "finetune", tell=quiet)
    assert judged == ["CellsDiscriminator", "PatchGAN", "PatchGAN", "PatchGAN"]


class Times(nn.Module):
    """Multiplies images."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images of any shape."""
        return images * self.factor


def test_pairs_are_compared_by_what_comes_back_of_an_image(whole_run):
    comparison = Comparison(job_of(whole_run, TINY), Goal(), {})
    assert comparison.measure(Times(-1), Times(-1)) == {"psnr": 100, "forth": 100, "back": 100}
    grey = comparison.measure(Times(0), Times(1))
    val = whole(Prepared.open(whole_run / "prepare").split("val"))
    for way, images in (("forth", val.input), ("back", val.target)):
        levels = ((images + 1) * 127.5).round() - 128
        wanted = (10 * torch.log10(255**2 / levels.square().mean((1, 2, 3)))).mean()
        assert grey[way] == pytest.approx(float(wanted), abs=0.02)
    assert comparison.better(comparison.measure(Times(1), Times(1)), grey)


def test_a_metric_of_sets_compares_what_is_made_with_the_other_set(whole_run, tmp_path):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.AdaptiveAvgPool2d(1), torch.zeros(1, 3, 32, 32)), tmp_path / "colours.pt")
    features = {"colours": {"path": str(tmp_path / "colours.pt")}}
    work = job_of(whole_run, TINY)
    comparison = Comparison(work, Goal(metric="fd:colours"), features)
    val = whole(work.data.split("val"))

    class Constantly(nn.Module):
        def __init__(self, images: torch.Tensor) -> None:
            super().__init__()
            self.images = images

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.images[: len(images)]

    perfect = comparison.measure(Constantly(val.target), Constantly(val.input))
    apart = comparison.measure(Times(1), Times(1))
    assert perfect["forth"] == pytest.approx(0, abs=1e-4)
    assert perfect["back"] == pytest.approx(0, abs=1e-4)
    assert apart["fd:colours"] > 0.01
    assert comparison.better(perfect, apart)


def test_a_part_of_four_networks_gates_is_one_networks_own():
    options = options_of(TINY)
    relaxation = Relaxation(joined(options), seed=1, kind="sampled")
    gates = relaxation.gates(0)
    for role in (*GENERATORS, *DISCRIMINATORS):
        own = part(gates, role)
        names = [name for name in joined(options) if name.startswith(f"{role}.")]
        assert [f"{role}.{name}" for name in own.probabilities] == names
        assert all(own.only[name] == gates.only[f"{role}.{name}"] for name in own.only)
        assert part(gates.at, role) == own.at


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("task=paired", "task unpaired; got 'paired'"),
        ("budget={macs: 1/2}", r"without a budget.*budget.macs"),
        ("finetune.updates=0", "trained anew; got finetune.updates 0"),
        ("finetune.inherit=true", "finetune.inherit true"),
        ("finetune.generator_steps=2", "finetune.generator_steps 2"),
        ("losses.adversarial=0", "losses.adversarial 0"),
        ("objective.metric=seg_miou:x", "neither are label maps"),
        ("supernet.temperature=[5, 0.1]", "needs relaxation gumbel"),
        ("supernet={relaxation: gumbel, temperature: [0.1, 5], updates: 2}", "does not rise"),
        ("supernet.optimisation=THT", "supernet: optimisation"),
        ("supernet.hidden=3", "supernet: hidden"),
        ("search.networks=3", "needs kind random"),
        ("search={discriminators: original, discriminator_hidden: 4}", "needs searched discriminators"),
        ("search.hidden=0", "hidden width of at least 4"),
        ("search.hiden=8", "did you mean 'hidden'"),
        ("size=40", "multiples of 16"),
        ("teach.generator={family: resnet, ngf: 1, blocks: 0}", "must fit into the .* parameters of the original"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(SlimgenError, match=message):
        check(TINY.override([setting]))


def test_an_original_that_cannot_be_narrowed_is_refused_where_a_uniform_one_is_asked_for():
    other = "teach.generator={family: mobile_resnet, ngf: 32, blocks: 1}"
    with pytest.raises(RecipeError, match=r"finetune.uniform"):
        check(TINY.override([other]))
    check(TINY.override([other, "finetune.uniform=false"]))


def test_the_equal_width_grows_with_the_original_and_shrinks_with_the_operations():
    options, rng = options_of(TINY), random.Random(0)
    space = joined(options)
    wider = TINY.override(["teach.generator={family: resnet, ngf: 12, blocks: 1}"])

    def hidden(recipe: Recipe, genotype: Genotype) -> int:
        return equal_hidden(recipe, options, (genotype.under("generator"), genotype.under("back_generator")))

    for _ in range(5):
        genotype = space.sample(rng)
        assert hidden(TINY, genotype) < hidden(wider, genotype)
    order = [hidden(wider, genotype) for genotype in (space.largest(), space.sample(rng), space.smallest())]
    assert all(one < two for one, two in pairwise(order))
    with pytest.raises(BudgetError, match="parameters of the original"):
        hidden(TINY.override(["teach.generator={family: resnet, ngf: 1, blocks: 0}"]), space.largest())
