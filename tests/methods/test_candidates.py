"""Candidates of a supernet: raced, cached, predicted in milliseconds, and shared among processes."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_pairs
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.errors import BudgetError, RecipeError
from slimgen.methods.candidates import Candidates
from slimgen.methods.trials import Setup
from slimgen.nets.cf_gan.space import Shape
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.initial import initialise
from slimgen.recipe import Recipe
from slimgen.search import Evolution, Genotype, RandomSearch, Trial
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from slimgen.training.distributed import first, spread, world
from slimgen.training.fit import Journal
from townhouses import write

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("candidates")
    # Several batches of validation images: a race is judged after each.
    write(folder / "images", seed=0, train=202, test=1, size=32)
    prepare_pairs(
        folder / "images", folder / "out", Setting(size=16, load=16, direction="BtoA", validation=200, seed=0)
    )
    return folder / "out"


def job(prepared: Path, out: Path, *settings: str) -> Job:
    recipe = TINY.override(list(settings))
    compute: Compute = choose("fp32", "cpu", threads=1)
    return Job(
        recipe=recipe,
        compute=compute,
        task=open_task(recipe, compute),
        data=Prepared.open(prepared),
        inputs={},
        out=out,
        journal=lambda name: Journal(),
        tell=lambda what, done, total, values: None,
    )


def candidates(prepared: Path, out: Path, *settings: str, latency=None) -> Candidates:
    net = initialise(Trellis(Shape(ngf=4, groups=3, blocks=1)), 0).eval()
    return Candidates(job(prepared, out, *settings), net, latency)


def evolution(made: Candidates, population: int = 8) -> Evolution:
    space = made.supernet.space
    return Evolution(space, made.objective, made.allows, population, 4, 0.3, anchor=made.anchor(space, made.allows))


def raced(prepared: Path, out: Path, evaluations: int = 48, latency=None) -> list[Trial]:
    made = candidates(prepared, out, latency=latency)
    return made.explore("all", evolution(made), evaluations, racing=True)


def generators(count: int) -> list[random.Random]:
    return [random.Random(seed) for seed in range(count)]


def told(trials: list[Trial]) -> list[str]:
    return [json.dumps({**trial.to_json(), "seconds": 0}) for trial in trials]


def test_a_race_stops_hopeless_candidates_early_and_finds_the_same_winner(prepared: Path, tmp_path: Path) -> None:
    made = candidates(prepared, tmp_path / "raced")
    trials = made.explore("all", evolution(made), 80, racing=True)
    left = [trial for trial in trials if not trial.complete]
    assert 5 < len(left) < 72
    assert all(trial.complete for trial in trials if trial.round == 0)
    whole = candidates(prepared, tmp_path / "whole")
    full = whole.trials([trial.genotype for trial in trials], Setup("all"))
    # Whoever was measured to the end has the value that measuring without a race gives.
    assert [t.quality for t in trials if t.complete] == [
        f.quality for t, f in zip(trials, full, strict=True) if t.complete
    ]
    # Whoever was left would not have become a parent: it lies behind the elite's worst at the start of its round.
    for trial, real in zip(trials, full, strict=True):
        if not trial.complete:
            before = [t for t in trials if t.round < trial.round and t.complete]
            worst = sorted((t.quality["psnr"] for t in before), reverse=True)[3]
            assert trial.quality["psnr"] < worst
            assert real.quality["psnr"] < worst
    found = made.found(trials, {})
    assert found.trial.complete
    assert found.trial.quality == max((t.quality for t in full), key=lambda quality: quality["psnr"])
    assert found.facts["left_early"] == len(left)


def test_a_race_does_not_depend_on_the_order_within_a_round(prepared: Path, tmp_path: Path) -> None:
    made = candidates(prepared, tmp_path / "one")
    searcher = evolution(made)
    made.explore("all", searcher, 40, racing=True)
    space = made.supernet.space
    genotypes = [trial.genotype for trial in searcher.elite] + list(map(space.sample, generators(12)))
    way = Setup("all", None, searcher.rival)
    forwards = candidates(prepared, tmp_path / "two").trials(genotypes, way)
    backwards = candidates(prepared, tmp_path / "three").trials(genotypes[::-1], way)[::-1]
    assert told(forwards) == told(backwards)
    assert {trial.complete for trial in forwards} == {True, False}


def test_an_estimate_is_cached_for_its_rival_alone_and_a_whole_value_for_all(prepared: Path, tmp_path: Path) -> None:
    made = candidates(prepared, tmp_path)
    space = made.supernet.space
    genotypes = list(dict.fromkeys(map(space.sample, generators(20))))
    whole = candidates(prepared, tmp_path / "whole").trials(genotypes, Setup("all"))
    by_quality = sorted(whole, key=lambda trial: -trial.quality["psnr"])
    top, second, bottom = by_quality[0], by_quality[1], by_quality[-1]
    (left,) = made.trials([bottom.genotype], Setup("all", None, top))
    assert not left.complete
    lines = (tmp_path / "cache.jsonl").read_text().splitlines()
    again = candidates(prepared, tmp_path)
    assert again.trials([bottom.genotype], Setup("all", None, top))[0].quality == left.quality
    assert (tmp_path / "cache.jsonl").read_text().splitlines() == lines
    (other,) = again.trials([bottom.genotype], Setup("all", None, second))
    assert other.quality != left.quality
    (full,) = again.trials([bottom.genotype], Setup("all"))
    assert full.complete
    assert full.quality == bottom.quality
    assert again.trials([bottom.genotype], Setup("all", None, top))[0].complete


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_a_raced_search_that_was_killed_ends_with_the_same_trials(kept, prepared: Path, tmp_path: Path) -> None:
    expected = raced(prepared, tmp_path / "whole")
    assert any(not trial.complete for trial in expected)
    log = (tmp_path / "whole" / "log-rounds.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "log-rounds.jsonl").write_bytes(b"".join(log[:kept]) + log[kept][:100])
    assert told(raced(prepared, tmp_path / "killed")) == told(expected)


def test_racing_by_a_metric_of_sets_of_images_is_refused_before_anything_is_measured(prepared, tmp_path) -> None:
    pool = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(pool, torch.zeros(1, 3, 16, 16)), tmp_path / "pool.pt")
    settings = "objective.metric=fd:pool", f"evaluate.features={{pool: {{path: {tmp_path / 'pool.pt'}}}}}"
    made = candidates(prepared, tmp_path, *settings)
    with pytest.raises(RecipeError, match="racing needs a metric of single images"):
        made.explore("all", evolution(made), 8, racing=True)
    assert not (tmp_path / "cache.jsonl").exists()


def test_a_searcher_without_a_rival_measures_all(prepared: Path, tmp_path: Path) -> None:
    made = candidates(prepared, tmp_path)
    space = made.supernet.space
    trials = made.explore("all", RandomSearch(space, made.objective, lambda g: True, 6), 18, racing=True)
    assert all(trial.complete for trial in trials)


def milliseconds(genotype: Genotype) -> float:
    return sum(value for value in genotype.values() if isinstance(value, float | int))


def test_a_limit_of_milliseconds_needs_a_prediction(prepared: Path, tmp_path: Path) -> None:
    limit = "budget.latency_ms=3.5"
    with pytest.raises(BudgetError, match="cannot predict latency here; got a limit budget"):
        candidates(prepared, tmp_path, limit)
    made = candidates(prepared, tmp_path, limit, latency=milliseconds)
    trials = made.explore("all", evolution(made), 24)
    assert len(trials) == 24
    assert all(trial.costs["latency_ms"] == milliseconds(trial.genotype) <= 3.5 for trial in trials)
    assert "latency_ms" not in candidates(prepared, tmp_path).costs(trials[0].genotype)


def test_a_single_process_is_the_first_and_does_all_the_work() -> None:
    assert world() == (0, 1)
    assert first(lambda: 7) == 7
    assert spread("abc", str.upper) == ["A", "B", "C"]
    assert spread([], str.upper) == []


PROCESS = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_candidates as t
from slimgen.training.distributed import first, spread, together, world
rank, size = world()
# Only the first one can predict milliseconds; all must go by them.
here = t.milliseconds if rank == 0 else None
trials = t.raced(Path(sys.argv[2]), Path(sys.argv[3]) / str(rank), latency=here)
done = spread(range(7), lambda item: (item, rank))
assert done == [(item, item % size) for item in range(7)], done
assert spread([1], lambda item: item) == [1]
assert first(lambda: rank) == 0
(Path(sys.argv[3]) / f"told-{rank}").write_text("\\n".join(t.told(trials)))
together()
"""


def run_processes(count: int, prepared: Path, out: Path) -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    about = {**os.environ, "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PROCESS, str(Path(__file__).parent), str(prepared), str(out)]
    processes = [
        subprocess.Popen(command, env={**about, "RANK": str(rank), "OMP_NUM_THREADS": "1"}) for rank in range(count)
    ]
    assert [process.wait(timeout=90) for process in processes] == [0] * count
    return [(out / f"told-{rank}").read_text() for rank in range(count)]


def test_two_racing_processes_report_the_trials_of_one(prepared: Path, tmp_path: Path) -> None:
    expected = "\n".join(told(raced(prepared, tmp_path / "alone", latency=milliseconds)))
    # What only the first one has of an earlier start is replayed by both.
    log = (tmp_path / "alone" / "log-rounds.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "two" / "0").mkdir(parents=True)
    (tmp_path / "two" / "0" / "log-rounds.jsonl").write_bytes(log[0])
    assert run_processes(2, prepared, tmp_path / "two") == [expected, expected]
    caches = [(tmp_path / "two" / str(rank) / "cache.jsonl").read_text().splitlines() for rank in range(2)]
    assert sorted(caches[0]) == sorted(caches[1])


def test_the_winner_is_the_best_that_is_accepted(prepared, tmp_path):
    subject = candidates(prepared, tmp_path)
    space, rng = subject.supernet.space, random.Random(0)
    trials = [Trial(space.sample(rng), {"macs": 1.0}, {"psnr": quality}) for quality in (3.0, 9.0, 7.0, 5.0)]
    asked = []

    def accepts(trial: Trial) -> bool:
        asked.append(trial.quality["psnr"])
        return trial.quality["psnr"] < 6

    found = subject.found(trials, {}, accepts=accepts)
    assert found.trial.quality["psnr"] == 5.0
    assert asked == [9.0, 7.0, 5.0]
    assert len(found.trials) == 4
    with pytest.raises(BudgetError, match="when measured"):
        subject.found(trials, {}, accepts=lambda trial: False)
