import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen.device import Compute
from slimgen.errors import RunError
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.search import Genotype
from slimgen.stopping import Stopped, listening
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, Phase, fit

CPU = Compute(torch.device("cpu"), channels_last=False)
ONE = fixed(Genotype({}))


def batch(step: int) -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(step))


def player(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    # Dropout, so that the global random state matters.
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def phases(one: nn.Module, two: nn.Module) -> list[Phase]:
    def first(x, arch, memo):
        out = one(x)
        memo.fakes.append(out.detach())
        return {"pull": (out - two(x)).square().mean()}

    def second(x, arch, memo):
        outs = torch.cat(memo.fakes)
        return {"push": -(outs.mean() - two(x).mean()).square()}

    return [
        Phase("one", first, torch.optim.Adam(one.parameters(), 1e-2), lambda step: 1.0),
        Phase("two", second, torch.optim.Adam(two.parameters(), 1e-3), lambda step: 0.5),
    ]


def train(folder: Path | None, steps: int, stop: int | None = None) -> dict[str, torch.Tensor]:
    one, two = player(0), player(1)
    journal = None
    if folder is not None:
        journal = Journal(Checkpoints(folder / "c", "mark"), Log(folder / "log-x.jsonl"), log_every=3, seconds=0.0)

    class StopError(Exception):
        pass

    def batches(step: int) -> torch.Tensor:
        if step == stop:
            raise StopError
        return batch(step)

    def run() -> None:
        state = {"one": one, "two": two}
        fit(phases(one, two), ONE, {"train": batches}, steps, seed=7, compute=CPU, state=state, journal=journal)

    if stop is None:
        run()
    else:
        with pytest.raises(StopError):
            run()
    return {**one.state_dict(), **{f"two.{name}": value for name, value in two.state_dict().items()}}


def test_training_stopped_at_every_step_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 9)
    for stop in range(1, 9):
        folder = tmp_path / str(stop)
        train(folder, 9, stop)
        again = train(folder, 9)
        assert all(torch.equal(whole[name], again[name]) for name in whole)
        assert (folder / "log-x.jsonl").read_text() == (tmp_path / "whole" / "log-x.jsonl").read_text()


def test_training_with_checkpoints_equals_training_without(tmp_path: Path) -> None:
    with_them, without = train(tmp_path, 6), train(None, 6)
    assert all(torch.equal(with_them[name], without[name]) for name in without)


def test_each_phase_moves_its_own_parameters_alone() -> None:
    one, two = player(0), player(1)
    before = [parameter.clone() for parameter in two.parameters()]
    fit(phases(one, two)[:1], ONE, {"train": batch}, 3, seed=0, compute=CPU, state={})
    assert all(torch.equal(a, b) for a, b in zip(before, two.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in [*one.parameters(), *two.parameters()])


def test_gradients_of_a_steps_architectures_are_summed() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    seen = []

    def loss(x, arch, memo):
        return {"loss": float(arch["factor"]) * net.weight.sum()}

    def after(phase, archs):
        seen.append(net.weight.grad.item())

    phase = Phase("p", loss, torch.optim.SGD(net.parameters(), 1.0), lambda step: 1.0, after=after)
    archs = [Genotype({"factor": factor}) for factor in (1.0, 2.0, 4.0)]
    fit([phase], lambda step: archs, {"train": batch}, 1, seed=0, compute=CPU, state={})
    assert seen == [7.0]
    assert net.weight.item() == -7.0


def test_phase_runs_only_when_it_is_due() -> None:
    net, ran = nn.Linear(1, 1), []

    def loss(x, arch, memo):
        return {"loss": net.weight.sum()}

    phase = Phase(
        "p",
        loss,
        torch.optim.SGD(net.parameters(), 1.0),
        lambda step: 1.0,
        when=lambda step: step % 3 == 2,
        after=lambda phase, archs: ran.append(1),
    )
    fit([phase], ONE, {"train": batch}, 9, seed=0, compute=CPU, state={})
    assert len(ran) == 3


def test_diverged_loss_is_an_error_that_says_where() -> None:
    net = nn.Linear(3, 1)

    def loss(x, arch, memo):
        return {"boom": net(x).mean() / 0}

    phase = Phase("p", loss, torch.optim.SGD(net.parameters(), 1.0), lambda step: 1.0)
    with pytest.raises(RunError, match=r"p\.boom.*step 2"):
        fit([phase], ONE, {"train": batch}, 2, seed=0, compute=CPU, state={})


RANKS = """
import sys, torch
from torch import nn
from slimgen.data.batches import Batches
from slimgen.data.prepared import Split
from slimgen.device import Compute
from slimgen.search import Genotype
from slimgen.stopping import Stopped, listening
from slimgen.training.distributed import world
from slimgen.training.draws import fixed
from slimgen.training.fit import Phase, fit
import numpy as np
torch.set_num_threads(1)
rank, size = world()
rng = np.random.default_rng(0)
images = [rng.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8) for _ in range(2)]
batches = Batches(Split("train", *images, tuple(map(str, range(10)))), batch=4, seed=3, crop=6, rank=rank, world=size)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1))
unused = nn.Linear(2, 2)
def loss(pair, arch, memo):
    return {"l1": (net(pair.input) - pair.target).abs().mean()}
parameters = [*net.parameters(), *unused.parameters()]
grads = []
def after(phase, archs):
    grads.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
phase = Phase("p", loss, torch.optim.SGD(parameters, 0.1), lambda step: 1.0, after=after)
compute = Compute(torch.device("cpu"), channels_last=False)
fit([phase], fixed(Genotype({})), {"train": batches}, 5, seed=0, compute=compute, state={})
from slimgen.errors import RunError
refused = ""
try:
    fit([phase], fixed(Genotype({})), {"train": batches}, 5, seed=0, compute=compute, state={"n": nn.BatchNorm2d(2)})
except RunError as error:
    refused = str(error)
assert ("BatchNorm" in refused) == (size > 1), refused
if rank == 0:
    torch.save(torch.stack(grads[:5]), sys.argv[1])
"""


def test_two_processes_step_with_the_gradients_of_the_joined_batch(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = {
        1: [sys.executable],
        2: [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"],
    }
    grads = {}
    for size, launcher in runs.items():
        out = tmp_path / f"{size}.pt"
        subprocess.run(
            [*launcher, str(script), str(out)], check=True, env=environment, capture_output=True, timeout=120
        )
        grads[size] = torch.load(out, weights_only=True)
    assert torch.allclose(grads[1], grads[2], rtol=1e-5, atol=1e-7)


def test_a_memo_passes_from_phase_to_phase_and_not_from_step_to_step():
    net, seen = nn.Linear(1, 1), []
    archs = [Genotype({"factor": factor}) for factor in (1.0, 2.0)]

    def first(x, arch, memo):
        memo.fakes.append(torch.tensor(arch["factor"] + memo.step))
        return {"loss": net.weight.sum()}

    def second(x, arch, memo):
        seen.append((memo.step, arch["factor"], [fake.item() for fake in memo.fakes]))
        return {"loss": net.weight.sum()}

    one, two = (torch.optim.SGD(net.parameters(), 1.0) for _ in range(2))
    turns = [
        Phase("one", first, one, lambda step: 1.0),
        Phase("two", second, two, lambda step: 1.0, draw=lambda step: archs[:1]),
    ]
    fit(turns, lambda step: archs, {"train": batch}, 2, seed=0, compute=CPU, state={})
    assert seen == [(0, 1.0, [1.0, 2.0]), (1, 1.0, [2.0, 3.0])]


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal that is not ignored, as SIGHUP is where the tests were started by nohup."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_ends_a_training_after_the_current_step_which_is_saved(tmp_path: Path, number: int) -> None:
    whole = train(tmp_path / "whole", 9)
    for at in (1, 4, 8):
        folder, sent = tmp_path / str(at), []

        def batches(step: int, at: int = at, sent: list[int] = sent) -> torch.Tensor:
            if step == at:
                os.kill(os.getpid(), number)
                sent.append(step)
            return batch(step)

        one, two = player(0), player(1)
        checkpoints = Checkpoints(folder / "c", "mark")
        # No time has passed since the last checkpoint: what is saved, the signal saved.
        journal = Journal(checkpoints, Log(folder / "log-x.jsonl"), log_every=3, seconds=3600.0)
        state = {"one": one, "two": two}
        with pytest.raises(Stopped), listening():
            fit(phases(one, two), ONE, {"train": batches}, 9, seed=7, compute=CPU, state=state, journal=journal)
        assert sent == [at, at]  # by both phases
        assert checkpoints.load()[0] == at + 1
        again = train(folder, 9)
        assert all(torch.equal(whole[name], again[name]) for name in whole)
        assert (folder / "log-x.jsonl").read_text() == (tmp_path / "whole" / "log-x.jsonl").read_text()
