import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from slimgen.device import Compute
from slimgen.files import TRACE
from slimgen.methods.relaxation_trace import Trace
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.supernet import Gates, mixed
from slimgen.report.charts import probability_chart
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.search import Choice, Genotype, Space
from slimgen.training.draws import fixed
from slimgen.training.fit import Journal, Phase, fit

CPU = Compute(torch.device("cpu"), channels_last=False)
SPACE = Space({"edge": Choice(("low", "middle", "high")), "width": Choice((1, 2))})
VALUES = {"low": torch.tensor(0.0), "middle": torch.tensor(1.0), "high": torch.tensor(2.0)}


def train(folder: Path, steps: int = 12, stop: int | None = None) -> Relaxation:
    """Learns to choose the option of the lowest value by noisy gates."""
    relaxation = Relaxation(SPACE, seed=0, kind="gumbel")

    def loss(batch: object, arch: object, memo: object) -> dict[str, torch.Tensor]:
        assert isinstance(arch, Gates)
        return {"value": mixed(arch, "edge", lambda option: VALUES[str(option)])}

    def seen(done: int, steps: int, losses: object) -> None:
        if done == stop:
            raise KeyboardInterrupt

    phase = Phase("alpha", loss, torch.optim.Adam(relaxation.parameters(), 0.3), lambda step: 1.0, draw=relaxation.draw)
    journal = Journal(
        Checkpoints(folder / "c", "mark"),
        progress=seen,
        seconds=0.0,
    )
    fit(
        [phase],
        fixed(Genotype({})),
        {"train": lambda step: None},
        steps,
        seed=3,
        compute=CPU,
        state={"relaxation": relaxation},
        journal=Trace(folder, {"": relaxation}, every=2).watching(journal),
    )
    return relaxation


def test_a_search_stopped_at_any_step_leaves_the_trace_of_an_uninterrupted_one(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    whole = (tmp_path / "whole" / TRACE).read_text()
    for stop in (1, 4, 5, 12):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / str(stop), stop=stop)
        train(tmp_path / str(stop))
        assert (tmp_path / str(stop) / TRACE).read_text() == whole


def test_lines_are_of_the_first_the_last_and_every_so_many_steps(tmp_path: Path) -> None:
    relaxation = train(tmp_path, steps=7)
    lines = [json.loads(line) for line in (tmp_path / TRACE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 4, 6, 7]
    last = lines[-1]
    assert last["genotype"] == relaxation.argmax().key
    assert last["probabilities"]["width"].keys() == {"1", "2"}
    for numbers in last["probabilities"].values():
        assert sum(numbers.values()) == pytest.approx(1, abs=1e-5)
    first = lines[0]["probabilities"]["edge"]["low"]
    assert last["probabilities"]["edge"]["low"] > first


def test_the_mean_entropy_is_that_of_all_choices_of_all_relaxations(tmp_path: Path) -> None:
    several = {"forward": Relaxation(SPACE, seed=0, spread=0.0), "reverse": Relaxation(SPACE, seed=0, spread=0.0)}
    trace = Trace(tmp_path, several)
    assert trace.entropy() == pytest.approx((math.log(3) + math.log(2)) / 2, abs=1e-6)
    with torch.no_grad():
        several["reverse"].logits("edge")[2] = 5.0
    assert trace.genotype() == SPACE.smallest().prefixed("forward") | SPACE.smallest().replace(edge="high").prefixed(
        "reverse"
    )
    assert sorted(trace.probabilities()) == ["forward.edge", "forward.width", "reverse.edge", "reverse.width"]


def test_the_chart_of_probabilities_draws_the_trace(tmp_path: Path) -> None:
    train(tmp_path, steps=3)
    probability_chart(Log(tmp_path / TRACE).read(), tmp_path / "relaxation.png")
    with Image.open(tmp_path / "relaxation.png") as image:
        assert image.width > image.height  # two choices, side by side


def test_a_trace_never_writes_less_than_every_step(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Trace(tmp_path, {"": Relaxation(SPACE, seed=0)}, every=0)
