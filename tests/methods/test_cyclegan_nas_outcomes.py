"""What CycleGANAS reads off its logits: operations, the width of both generators, rivals, and what is refused."""

import json
import math
import random
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from slimgen import stages
from slimgen.errors import BudgetError, RecipeError, RunError, SlimgenError
from slimgen.files import LOGITS
from slimgen.methods.cyclegan_nas import check, search
from slimgen.methods.cyclegan_nas.options import equal_hidden
from slimgen.methods.cyclegan_nas.phases import GENERATORS, joined
from slimgen.nets import generator_cost
from slimgen.nets.cyclegan_nas.space import GeneratorShape
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe
from slimgen.search import Genotype
from tests.methods.cyclegan_nas_runs import TINY, folders, job_of, options_of, run_until
from tests.quiet import quiet
from tests.restamped import restamped


@pytest.fixture(scope="module")
def tiny_run(untracked, tmp_path_factory) -> Path:
    return run_until("search", tmp_path_factory.mktemp("tiny"))


def outcome_of(out: Path) -> dict:
    return json.loads((out / "genotype.json").read_text())


def test_the_most_probable_operation_of_every_place_is_chosen(tiny_run):
    logits = load_weights(tiny_run / "supernet" / LOGITS)
    genotype = outcome_of(tiny_run / "search")["genotype"]
    space = joined(options_of(TINY))
    assert set(genotype) == {*space, "hidden"}
    for name, choice in space.items():
        own = logits["logits/" + name.replace(".", "/")]
        assert genotype[name] == choice.options[int(own.argmax())]
    said = json.loads((tiny_run / "search" / "stage.json").read_text())["metrics"]
    likely = sum(float(those.double().log_softmax(0).max()) for those in logits.values())
    assert said["val_log_probability"] == pytest.approx(likely, rel=1e-5)
    assert (said["input_images"], said["target_images"]) == (9, 7)


def test_both_generators_together_are_as_large_as_the_plain_cyclegans_and_no_larger(tiny_run):
    genotype = Genotype.from_json(outcome_of(tiny_run / "search")["genotype"])
    limit = 2 * generator_cost("resnet", 32, 32, ngf=6, blocks=1).params

    def params(hidden: int) -> int:
        return sum(
            generator_cost("cyclegan_nas", 32, 32, genotype=genotype.under(role), hidden=hidden, cells=3).params
            for role in GENERATORS
        )

    hidden = genotype["hidden"]
    assert params(hidden) <= limit < params(hidden + 1)
    said = json.loads((tiny_run / "search" / "stage.json").read_text())["metrics"]
    assert said["total_params"] == params(hidden) == said["params"] + said["reverse_params"]
    assert said["reverse_share"] == said["reverse_params"] / said["total_params"]


def test_a_random_architecture_is_of_about_the_found_ones_size_and_none_is_more_probable(tiny_run, tmp_path):
    recipe = TINY.override(["search={kind: random, evaluations: 4, equal_size: 0.05, repeats: 1}"])
    stages.search(recipe, **folders(tiny_run, "supernet"), out=tmp_path / "search", progress=quiet)
    trials = [json.loads(line) for line in (tmp_path / "search" / "trials.jsonl").read_text().splitlines()]
    assert [trial["step"] for trial in trials] == ["argmax", *["random"] * 4]
    assert trials[0]["genotype"] == outcome_of(tiny_run / "search")["genotype"]
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


def test_random_architectures_that_are_never_of_that_size_are_an_error(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("slimgen.methods.drawn._TRIES", 20)
    relaxation = Relaxation(joined(options_of(TINY)), seed=0, spread=0)
    largest = relaxation.space.largest()
    with torch.no_grad():
        for name, those in relaxation.options.items():
            relaxation.logits(name)[those.index(largest[name])] = 1
    inputs = folders(tiny_run)
    recipe = TINY.override(["search={kind: random, hidden: 8, equal_size: 0.001}", "supernet.spread=0.002"])
    stages.supernet(recipe, **inputs, out=tmp_path / "supernet", progress=quiet)
    save_weights(tmp_path / "supernet" / LOGITS, relaxation.state_dict())
    restamped(tmp_path / "supernet")
    with pytest.raises(RunError, match=r"of 20 random architectures.*search.equal_size"):
        stages.search(recipe, **inputs, supernet=tmp_path / "supernet", out=tmp_path / "search", progress=quiet)


def test_an_operation_that_training_has_excluded_is_infinitely_unlikely_but_has_a_likelihood(tiny_run, tmp_path):
    logits = load_weights(tiny_run / "supernet" / "logits.safetensors")
    steep = {name: 200.0 * torch.arange(len(values)) for name, values in logits.items()}
    inputs = folders(tiny_run, "supernet")
    shutil.copytree(tiny_run / "supernet", tmp_path / "supernet")
    save_weights(tmp_path / "supernet" / "logits.safetensors", steep)
    recipe = TINY.override(["search.kind=random", "search.evaluations=1", "search.equal_size=0.9"])
    job = replace(job_of(tiny_run, recipe, tmp_path), inputs={**inputs, "supernet": tmp_path / "supernet"})
    likely, drawn = search(job).trials
    assert likely.quality["log_probability"] == 0
    assert -math.inf < drawn.quality["log_probability"] <= -200


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("task=paired", "both directions of a CycleGAN.*got the task paired"),
        ("budget={macs: 1/2}", r"can limit latency_ms; got budget.macs; set search.hidden"),
        ("finetune.updates=0", "from scratch; got finetune.updates 0"),
        ("finetune.inherit=true", "finetune.inherit true"),
        ("finetune.generator_steps=2", "finetune.generator_steps must be 1; got 2"),
        ("losses.adversarial=0", "losses.adversarial 0"),
        ("objective.metric=seg_miou:x", "which are not label maps"),
        ("supernet.temperature=[5, 0.1]", "needs supernet.relaxation gumbel"),
        ("supernet={relaxation: gumbel, temperature: [0.1, 5], updates: 2}", "must not rise"),
        ("supernet.optimisation=THT", "supernet: optimisation"),
        ("supernet.hidden=3", "hidden width of at least 4"),
        ("search.evaluations=3", "needs search.kind random"),
        ("search={discriminators: original, discriminator_hidden: 4}", "needs search.discriminators found"),
        ("supernet.padding=zeros", "supernet: padding"),
        ("finetune.rivals=[naive]", "must suit the method cyclegan_nas; got 'naive'; choose from narrowed, by_hand"),
        ("search.hidden=0", "search: hidden: must be at least 1; got 0"),
        ("search.hiden=8", "did you mean 'hidden'"),
        ("size=40", "multiples of 16"),
        ("teach.generator={family: resnet, ngf: 1, blocks: 0}", "must fit into the .* parameters of the original"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(SlimgenError, match=message):
        check(TINY.override([setting]))


def test_a_search_pads_as_cyclegan_and_networks_from_before_there_was_a_choice_do_not():
    assert options_of(TINY).generator().padding == "cyclegan"
    assert options_of(TINY.override(["supernet.padding=one"])).generator() == GeneratorShape(4, 3)
    assert GeneratorShape().padding == "one"
    assert GeneratorShape().activated


def test_halving_needs_no_supernet_and_no_settings_of_one():
    check(TINY.override(["supernet={}", "search={kind: halving, candidates: 3}"]))
    with pytest.raises(RecipeError, match=r"set supernet\.updates to 0"):
        check(TINY.override(["supernet={updates: 2}", "search={kind: halving, candidates: 3}"]))


def test_an_original_that_cannot_be_narrowed_is_refused_where_a_narrowed_rival_is_asked_for():
    with pytest.raises(RecipeError, match="narrowed rival needs"):
        check(TINY.override(["teach.generator={family: cyclegan_nas}"]))
    check(TINY.override(["teach.generator={family: mobile_resnet, ngf: 32, blocks: 1}"]))


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
