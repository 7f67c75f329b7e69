"""CycleGANAS's search: what its optimisations move, on which images, and what a kill leaves."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError
from slimgen.files import LOGITS
from slimgen.methods.cyclegan_nas.options import SupernetOptions
from slimgen.methods.cyclegan_nas.phases import (
    DISCRIMINATORS,
    GENERATORS,
    Half,
    batches,
    joined,
    networks,
    part,
    phases,
    pools_of,
)
from slimgen.nets.relaxation import Relaxation
from slimgen.search import Genotype
from slimgen.training.draws import fixed
from slimgen.training.fit import Memo, fit
from tests.methods.cyclegan_nas_runs import CPU, TINY, folders, job_of, options_of, run_until
from tests.quiet import quiet

TWO_STEP = ("TF", "TH", "THS")


@pytest.fixture(scope="module")
def tiny_run(untracked, tmp_path_factory) -> Path:
    return run_until("supernet", tmp_path_factory.mktemp("tiny"))


def test_the_joined_space_is_the_papers():
    assert f"{joined(SupernetOptions(epochs=400)).size:.1e}" == "8.1e+37"


def searching(run: Path, optimisation: str, *settings: str):
    """What trains, its phases and batches, of a training of 4 steps."""
    recipe = TINY.override([f"supernet.optimisation={optimisation}", *settings])
    work, options = job_of(run, recipe), options_of(recipe)
    those = networks(work, options, 4)
    return those, phases(work, options, those, pools_of(work, options), 4), batches(work, options, 4)


def copies(parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def moved(before: list[torch.Tensor], parameters: list[nn.Parameter]) -> list[bool]:
    return [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]


def identities(parameters: list[nn.Parameter]) -> set[int]:
    return {id(parameter) for parameter in parameters}


def test_in_one_step_one_optimizer_of_each_player_moves_weights_and_logits(tiny_run):
    those, found, data = searching(tiny_run, "OF")
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


def test_logits_without_a_rate_have_that_of_the_weights(tiny_run):
    _, found, _ = searching(tiny_run, "OF", "supernet.discriminator_rate=5e-4")
    rates = [{group["lr"] for group in phase.optimizer.param_groups} for phase in found]
    assert rates == [{2e-4}, {5e-4}]


@pytest.mark.parametrize("optimisation", TWO_STEP)
def test_in_two_steps_weights_and_logits_move_in_turns_on_data_of_their_own(tiny_run, optimisation):
    those, found, data = searching(tiny_run, optimisation, "supernet.architecture_rate=0.01")
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


def test_the_discriminators_see_images_generated_in_the_same_step(tiny_run):
    those, found, data = searching(tiny_run, "OF", "supernet.relaxation=gumbel")
    batch, memo = data["train"](0), Memo(0)
    torch.manual_seed(0)
    arch = found[0].draw(0)[0]
    found[0].loss(batch, arch, memo)
    made = [
        those.nets[role](images, part(arch, role))
        for role, images in zip(GENERATORS, (batch.input, batch.target), strict=True)
    ]
    judges = [net.eval() for net in (those.nets[role] for role in DISCRIMINATORS)]
    own = found[1].draw(0)[0]
    terms = found[1].loss(batch, own, memo)
    for judge, role, name, real, fake in zip(
        judges, DISCRIMINATORS, ("loss", "reverse_loss"), (batch.target, batch.input), made, strict=True
    ):
        wanted = (judge(real, part(own, role)) - 1).square().mean() + judge(fake, part(own, role)).square().mean()
        # Two power iterations apart: the spectral norms of the generators moved between.
        torch.testing.assert_close(terms[name], wanted / 2, atol=2e-3, rtol=1e-2)


def test_the_halves_of_each_set_are_disjoint_equal_and_complete(tiny_run):
    data = Prepared.open(tiny_run / "prepare")
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


def test_halves_keep_their_roles_in_th_and_change_them_midway_in_ths(tiny_run):
    work = job_of(tiny_run, TINY.override(["data.flip=false"]))
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


@pytest.mark.parametrize("optimisation", ["OF", "TF"])
def test_each_discriminators_history_is_of_its_own_steps(tiny_run, optimisation):
    recipe = TINY.override([f"supernet.optimisation={optimisation}"])
    work, options = job_of(tiny_run, recipe), options_of(recipe)
    those, pools = networks(work, options, 4), pools_of(work, options)
    assert len(pools) == (2 if optimisation == "OF" else 4)
    assert len({pool.seed for pool in pools.values()}) == len(pools)
    turns = phases(work, options, those, pools, 4)
    fit(turns, fixed(Genotype({})), batches(work, options, 4), 2, seed=0, compute=CPU, state={})
    assert {len(pool) for pool in pools.values()} == {2 * options.batch}


def test_in_tf_both_see_all_images_and_never_the_same_batch(tiny_run):
    work = job_of(tiny_run, TINY.override(["data.flip=false"]))
    found = batches(work, SupernetOptions(updates=9, batch=3, optimisation="TF"), 9)
    assert seen(found["first"], range(9)) == seen(found["second"], range(9))
    assert all(not torch.equal(found["first"](step).input, found["second"](step).input) for step in range(9))


class KilledError(Exception):
    """Stands for the signal."""


@pytest.mark.parametrize("settings", [["supernet.relaxation=gumbel"], ["supernet.optimisation=THS"]])
def test_a_search_killed_in_training_leaves_the_same_logits_and_trace(tiny_run, tmp_path, monkeypatch, settings):
    recipe = TINY.override([*settings, "supernet.updates=6", "compute.checkpoint_seconds=0.0001"])
    inputs = folders(tiny_run)
    stages.supernet(recipe, **inputs, out=tmp_path / "alone" / "supernet", progress=quiet)
    killed = tmp_path / "elsewhere" / "killed" / "supernet"

    def dying(what, done, total, values) -> None:
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        stages.supernet(recipe, **inputs, out=killed, progress=dying)
    assert list(killed.rglob("step-*.pt"))
    stages.supernet(recipe, **inputs, out=killed, progress=quiet)
    for name in (LOGITS, "relaxation.jsonl", "log-supernet.jsonl"):
        assert (killed / name).read_bytes() == (tmp_path / "alone" / "supernet" / name).read_bytes()


@pytest.mark.parametrize("optimisation", ["TH", "THS"])
def test_a_set_of_one_image_has_no_halves(tiny_run, optimisation):
    recipe = TINY.override([f"supernet.optimisation={optimisation}"])
    work = job_of(tiny_run, recipe)
    full = work.data.split("train")
    alone = replace(full, target=full.target[:1], target_names=full.target_names[:1], paired=False)

    class Alone(Prepared):
        """One image is in the second set."""

        def split(self, name):
            return alone

    same = {field.name: getattr(work.data, field.name) for field in fields(work.data)}
    with pytest.raises(DataError, match=f"{optimisation} needs at least two training images in each set"):
        batches(replace(work, data=Alone(**same)), options_of(recipe), 4)


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
