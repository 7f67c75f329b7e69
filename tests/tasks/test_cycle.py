"""CycleGAN's phases against closed forms, and its training killed at every step."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen.data.batches import Pair
from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_unpaired
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import RecipeError
from slimgen.recipe import LossesSection, Recipe, Schedule
from slimgen.run.checkpoint import Checkpoints
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.cycle import CycleTraining, Direction, Gan, cycle_phases, train_cycle
from slimgen.tasks.task import Job
from slimgen.tasks.unpaired import Unpaired
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, Memo, fit
from slimgen.training.pool import ImagePool
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_unpaired.yaml").read_text())
CPU = Compute(torch.device("cpu"), channels_last=False)
ONE = Genotype({})
STEP = Schedule(updates=1)


def pair(seed: int = 0, count: int = 2) -> Pair:
    rng = torch.Generator().manual_seed(seed)
    return Pair(*(torch.rand(count, 3, 16, 16, generator=rng) - 0.5 for _ in range(2)))


def direction(generate, discriminate, size: int = 0) -> Direction:
    return Direction(generate, discriminate, ImagePool(size))


def terms(
    forward: Direction, reverse: Direction, losses: LossesSection, batch: Pair
) -> tuple[dict[str, float], dict[str, float]]:
    """The terms of both phases, one after the other as `fit` calls them."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))]}]
    memo = Memo(0)
    found = [
        phase.loss(batch, ONE, memo) for phase in cycle_phases((forward, reverse), groups, groups, losses, STEP, 1)
    ]
    one, two = ({name: float(value) for name, value in each.items()} for each in found)
    return one, two


def mean(images: torch.Tensor) -> torch.Tensor:
    return images.mean((1, 2, 3))


def test_identity_networks_have_no_cycle_and_no_identity_loss() -> None:
    same = direction(lambda x: x, mean)
    losses, _ = terms(same, same, LossesSection(gan="least-squares"), pair())
    assert {name for name, value in losses.items() if value == 0} == {
        "cycle",
        "reverse_cycle",
        "identity",
        "reverse_identity",
    }


def test_a_frozen_direction_has_only_cycle_losses() -> None:
    forward, reverse = direction(lambda x: x + 0.25, mean), direction(lambda x: x - 0.5, mean)
    whole, _ = terms(forward, reverse, LossesSection(gan="least-squares"), pair())
    held, _ = terms(forward, reverse._replace(held=True), LossesSection(gan="least-squares"), pair())
    assert held == {name: whole[name] for name in ("adversarial", "cycle", "identity", "reverse_cycle")}


def test_every_term_has_its_closed_form() -> None:
    batch = pair()
    forward, reverse = direction(lambda x: x + 0.25, mean), direction(lambda x: x - 0.5, lambda x: 2 * mean(x))
    weights = LossesSection(gan="least-squares", adversarial=3, cycle=8, identity=0.25)
    moved, judged = terms(forward, reverse, weights, batch)
    forward_made, reverse_made = mean(batch.input) + 0.25, 2 * (mean(batch.target) - 0.5)
    assert moved == pytest.approx(
        {
            "adversarial": 3 * float((forward_made - 1).square().mean()),
            "reverse_adversarial": 3 * float((reverse_made - 1).square().mean()),
            "cycle": 8 * 0.25,
            "reverse_cycle": 8 * 0.25,
            "identity": 8 * 0.25 * 0.25,
            "reverse_identity": 8 * 0.25 * 0.5,
        },
        rel=1e-4,
    )
    half = 0.5 * ((mean(batch.target) - 1).square().mean() + forward_made.square().mean())
    other = 0.5 * ((2 * mean(batch.input) - 1).square().mean() + reverse_made.square().mean())
    assert judged == pytest.approx({"loss": float(half), "reverse_loss": float(other)}, rel=1e-4)


def test_without_its_weight_the_identity_is_not_computed() -> None:
    asked = []
    forward = direction(lambda x: asked.append(len(x)) or x, mean)
    losses, _ = terms(forward, forward, LossesSection(identity=0), pair())
    assert not {"identity", "reverse_identity"} & set(losses)
    assert len(asked) == 4  # each image there and back


def nets(seed: int = 0) -> tuple[Gan, Gan]:
    """Both directions, as the task makes them."""
    task = open_task(TINY.override([f"seed={seed}"]), CPU)
    return Gan(task.generator(), task.discriminator()), Gan(task.generator(2), task.discriminator(3))


def test_each_phase_moves_both_networks_of_its_kind_and_no_others() -> None:
    forward, reverse = nets()
    both, moved = (forward, reverse), {}

    def gradients(phase, archs) -> None:
        moved[phase.name] = [
            [all(weight.grad is not None for weight in net.parameters()) for net in gan] for gan in both
        ]
        for gan in both:
            for net in gan:
                net.zero_grad(set_to_none=True)

    one, two = (Direction(*gan, ImagePool(5, seed)) for seed, gan in enumerate(both))
    groups = [[{"params": [*forward[kind].parameters(), *reverse[kind].parameters()]}] for kind in range(2)]
    first, second = cycle_phases((one, two), *groups, LossesSection(), STEP, 1, after_generators=gradients)
    fit(
        [first, replace(second, after=gradients)],
        fixed(ONE),
        {"train": lambda step: pair(step)},
        1,
        seed=0,
        compute=CPU,
        state={},
    )
    assert moved == {"generator": [[True, False]] * 2, "discriminator": [[False, True]] * 2}


class StopError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    images, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("prepare")
    write(images, seed=0, train=7, night=5, test=2, size=32, layout="unpaired")
    prepare_unpaired(images, out, Setting(size=16, load=18, direction="AtoB", validation=2, seed=0))
    return Prepared.open(out)


def train(
    prepared: Prepared, folder: Path, stop: int | None = None, ema: float | None = None, recipe: Recipe = TINY
) -> dict[str, torch.Tensor]:
    """Five steps of batches of 2, or until a step: the weights of all four networks."""

    def progress(done, total, values) -> None:
        if done == stop:
            raise StopError

    journal = Journal(Checkpoints(folder, "mark"), progress=progress, seconds=0.0, log_every=2)
    job = Job(recipe, CPU, open_task(recipe, CPU), prepared, {}, folder, lambda name: journal, lambda *said: None)
    forward, reverse = nets()
    made = train_cycle(job, CycleTraining("teacher", forward, reverse, Schedule(updates=5, batch=2), 5, ema))
    whole = {"forward": made[0], "reverse": made[1], "judge": forward.discriminator}
    whole["reverse_judge"] = reverse.discriminator
    return {f"{name}.{key}": value for name, net in whole.items() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("ema", [None, 0.5], ids=["plain", "averaged"])
def test_a_training_killed_at_every_step_ends_with_the_same_bits(ema, prepared, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Unpaired, "history", 3)  # full after two steps, so that later ones swap
    whole = train(prepared, tmp_path / "whole", ema=ema)
    for stop in (2, 3, 5):
        with pytest.raises(StopError):
            train(prepared, tmp_path / str(stop), stop, ema)
        assert list((tmp_path / str(stop)).glob("*.pt"))
        again = train(prepared, tmp_path / str(stop), ema=ema)
        assert all(torch.equal(whole[name], again[name]) for name in whole)
    monkeypatch.setattr(Unpaired, "history", 0)
    without = train(prepared, tmp_path / "without", ema=ema)
    assert not all(torch.equal(whole[name], without[name]) for name in whole)


def test_all_four_networks_learn(prepared, tmp_path) -> None:
    before = dict(zip(("forward", "reverse"), nets(), strict=True))
    after = train(prepared, tmp_path)
    for name, gan in before.items():
        for key, weight in gan.generator.state_dict().items():
            assert not torch.equal(weight, after[f"{name}.{key}"]), (name, key)
    judges = {"judge": before["forward"].discriminator, "reverse_judge": before["reverse"].discriminator}
    for name, judge in judges.items():
        assert not any(torch.equal(weight, after[f"{name}.{key}"]) for key, weight in judge.state_dict().items())


def test_cycle_without_an_adversary_is_refused(prepared, tmp_path) -> None:
    with pytest.raises(RecipeError, match="adversarial"):
        train(prepared, tmp_path, recipe=TINY.override(["losses.adversarial=0"]))
