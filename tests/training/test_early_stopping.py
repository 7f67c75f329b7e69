"""When a training falls, ends and keeps what, against values that are given; and that kills change nothing."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen.device import Compute
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.search import Genotype
from slimgen.training.draws import fixed
from slimgen.training.early_stopping import EarlyStopping
from slimgen.training.fit import Journal, Phase, fit
from slimgen.training.optimizers import constant_then_linear

CPU = Compute(torch.device("cpu"), channels_last=False)


def rule(values, *, steps: int = 40, decay: float = 0.5, every: int = 2, patience: int = 2, goal="max"):
    """Of a training whose checks give these values, and the last of them from then on."""
    given = list(values)
    stopping = EarlyStopping(
        steps,
        decay,
        every=every,
        patience=patience,
        measure=lambda nets: given.pop(0) if len(given) > 1 else given[0],
        goal=goal,
        name="m",
    )
    stopping.watch({"net": nn.Linear(1, 1)})
    return stopping


def ended(stopping: EarlyStopping) -> dict[str, float]:
    """How it went, after as many updates as it took."""
    for done in range(1, stopping.steps + 1):
        stopping.look(done)
        if stopping.over:
            break
    return stopping.facts()


def rates(stopping: EarlyStopping, count: int) -> list[float]:
    return [stopping.rate(step) for step in range(count)]


@pytest.mark.parametrize("goal", ["max", "min"])
def test_a_training_that_improves_runs_its_updates_at_the_rates_of_the_schedule(goal: str) -> None:
    sign = 1 if goal == "max" else -1
    stopping = rule([sign * value for value in range(30)], goal=goal)
    assert ended(stopping) == {"updates": 40, "best_update": 40, "val_m": sign * 19, "stopped_improving": 0}
    assert rates(stopping, 40) == [constant_then_linear(40, 0.5)(step) for step in range(40)]


def test_a_plateau_lowers_the_rate_as_a_shorter_training_would() -> None:
    # Better at 2 and 4, not at 6 and 8: from 8 the rate falls for as long again, and every check of that is better.
    stopping = rule([1, 2, 2, 2, 3, 4, 5, 6])
    assert ended(stopping) == {"updates": 16, "best_update": 16, "val_m": 6, "stopped_improving": 4}
    assert rates(stopping, 16) == [constant_then_linear(16, 0.5)(step) for step in range(16)]


def test_a_second_plateau_ends_the_training_and_patience_restarts_when_the_rate_falls() -> None:
    stopping = rule([1, 2, 2, 2, 2, 2])
    assert ended(stopping) == {"updates": 12, "best_update": 4, "val_m": 2, "stopped_improving": 4}
    improved = rule([1, 2, 2, 2, 3, 0, 0])
    assert ended(improved) == {"updates": 14, "best_update": 10, "val_m": 3, "stopped_improving": 10}


def test_a_plateau_ends_a_training_whose_rate_never_falls_or_falls_from_the_start() -> None:
    for decay in (0.0, 1.0):
        stopping = rule([1, 2, 2, 2], decay=decay)
        assert ended(stopping) == {"updates": 8, "best_update": 4, "val_m": 2, "stopped_improving": 4}
        assert rates(stopping, 8) == [constant_then_linear(40, decay)(step) for step in range(8)]


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("plateau", range(1, 22))
def test_no_training_takes_more_updates_than_it_is_given_and_its_rates_fall_without_a_jump(decay, plateau) -> None:
    rising = [*range(plateau), *[plateau - 1] * 2, *range(plateau, plateau + 50)]  # better again while the rate falls
    stopping = rule(rising, steps=41, decay=decay)
    updates = int(ended(stopping)["updates"])
    assert updates <= 41
    found = rates(stopping, updates)
    assert found[0] >= 1 - 1 / 41
    assert min(found) > 0
    falls = [before - after for before, after in pairwise(found)]
    assert all(fall >= -1e-12 for fall in falls)
    if stopping.end == updates and decay not in (0.0, 1.0):  # a whole fall, in equal steps, to one step above zero
        begun = found[stopping.fall :]
        assert begun == pytest.approx([1 - number / (len(begun) + 1) for number in range(len(begun))])


def test_a_check_without_improvement_late_in_a_schedule_is_not_called_improving() -> None:
    # Best at 10 of 40, whose rate falls from 20 anyway: patience of 12 checks runs out at 34, for the best alone.
    stopping = rule([1, 2, 3, 4, 5, 5], patience=12)
    assert ended(stopping) == {"updates": 40, "best_update": 10, "val_m": 5, "stopped_improving": 10}


def test_values_that_are_infinitely_bad_are_no_improvement_and_still_leave_weights() -> None:
    stopping = rule([-float("inf")])
    assert ended(stopping) == {"updates": 10, "best_update": 2, "val_m": -float("inf"), "stopped_improving": 2}
    stopping.restore()
    better = rule([float("inf"), 3.0, 4.0, 4.0], goal="min")
    assert ended(better)["val_m"] == 3.0


Weights = dict[str, torch.Tensor]


def learner(folder: Path, stop: int | None = None) -> tuple[Weights, dict[str, float], list[dict], list[Weights]]:
    """A small training of a network with dropout: its weights, facts, log, and the weights at each check."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    given, measured = torch.randn(16, 3, generator=torch.Generator().manual_seed(1)), []

    def loss(x, arch, memo):
        return {"loss": (net(x) - x.sum(1, keepdim=True).sin()).square().mean()}

    @torch.no_grad()
    def measure(nets) -> float:
        torch.manual_seed(len(measured))  # a measurement may draw what it wants
        measured.append({name: weight.clone() for name, weight in net.state_dict().items()})
        net.eval()
        found = float((net(given) - given.sum(1, keepdim=True).sin()).square().mean())
        net.train()
        return round(found, 2)

    def progress(done, total, values) -> None:
        if done == stop:
            raise InterruptedError

    stopping = EarlyStopping(60, 0.5, every=3, patience=2, measure=measure, goal="min", name="m")
    stopping.watch({"net": net})
    phase = Phase("p", loss, torch.optim.Adam(net.parameters(), 3e-2), constant_then_linear(60, 0.5))
    journal = Journal(Checkpoints(folder / "c", "mark"), Log(folder / "log.jsonl"), progress, log_every=4, seconds=0.0)
    batches = {"train": lambda step: torch.randn(4, 3, generator=torch.Generator().manual_seed(step))}
    draw = fixed(Genotype({}))
    how = {"seed": 5, "compute": CPU, "state": {"net": net}, "journal": journal, "stopping": stopping}
    try:
        fit([phase], draw, batches, 60, **how)
    except InterruptedError:
        assert stop is not None
    return net.state_dict(), stopping.facts(), Log(folder / "log.jsonl").read(), measured


def test_a_killed_training_ends_with_the_same_bits_at_the_same_update(tmp_path: Path) -> None:
    weights, facts, log, _ = learner(tmp_path / "whole")
    assert 0 < facts["stopped_improving"] <= facts["best_update"] < facts["updates"] < 60
    for stop in [*range(1, int(facts["updates"]), 5), int(facts["updates"])]:  # before, at and after checks
        folder = tmp_path / str(stop)
        learner(folder, stop)
        again, facts_again, log_again, _ = learner(folder)
        assert (facts_again, log_again) == (facts, log)
        assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_the_best_weights_are_kept_and_every_check_is_in_the_log(tmp_path: Path) -> None:
    weights, facts, _, measured = learner(tmp_path)
    checks = {line["step"]: line["validation"] for line in Log(tmp_path / "log.jsonl").read() if "validation" in line}
    assert list(checks) == list(range(3, int(facts["updates"]) + 1, 3))
    best = next(step for step, value in checks.items() if value == min(checks.values()))
    assert (facts["best_update"], facts["val_m"]) == (best, checks[best])
    assert all(torch.equal(weights[name], value) for name, value in measured[best // 3 - 1].items())
    assert not all(torch.equal(weights[name], value) for name, value in measured[-1].items())
