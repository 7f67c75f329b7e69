import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slimgen.errors import RecipeError, RunError
from slimgen.search import (
    Budget,
    Choice,
    DirectionalMutation,
    Evolution,
    Exhaustive,
    Mask,
    Objective,
    RandomSearch,
    Space,
    Trial,
    explore,
    require_reachable,
)

FID = Objective("fid", "min")
WIDTHS = Space({f"c{i}": Choice((16, 24, 32, 48)) for i in range(8)})
MASKS = Space({"a": Mask(10), "b": Mask(16, 2)})


def costs(genotype):
    sizes = (value.count("1") ** 2 if isinstance(value, str) else value * value for value in genotype.values())
    return {"macs": float(sum(sizes))}


class Measured:
    """Measures a fixed function of the genotype and remembers what it measured."""

    def __init__(self, dies_after=None):
        self.genotypes, self.dies_after = [], dies_after

    def __call__(self, genotypes):
        if self.dies_after is not None and len(self.genotypes) >= self.dies_after:
            raise KeyboardInterrupt
        self.genotypes += genotypes
        return [Trial(g, costs(g), {"fid": quality(g)}) for g in genotypes]


def quality(genotype):
    value = random.Random(genotype.key).random()
    return float("nan") if value < 0.05 else float("inf") if value < 0.1 else value


def limit_of(space):
    return (costs(space.smallest())["macs"] + costs(space.largest())["macs"]) / 2


def make(kind, space):
    budget = Budget(macs=limit_of(space))
    anchor = require_reachable(space, costs, budget)
    allows = lambda genotype: budget.allows(costs(genotype))  # noqa: E731
    return {
        "random": lambda: RandomSearch(space, FID, allows, 6, anchor),
        "exhaustive": lambda: Exhaustive(space, FID, allows, 6),
        "evolution": lambda: Evolution(space, FID, allows, 6, 3, 0.2, anchor=anchor),
        "directional": lambda: Evolution(space, FID, allows, 6, 3, 0.2, direction=DirectionalMutation(), anchor=anchor),
    }[kind]()


KINDS = ["random", "exhaustive", "evolution", "directional"]
PAIRS = [(kind, space) for kind in KINDS for space in (WIDTHS, MASKS)]
every_search = pytest.mark.parametrize(("kind", "space"), PAIRS)


def search(log, kind="evolution", space=WIDTHS, evaluate=None, step="channel", seed=0, rounds=5, **options):
    evaluate = evaluate or Measured()
    return explore(make(kind, space), evaluate, log=log, seed=seed, step=step, rounds=rounds, **options)


def plain(trials):
    return [json.dumps(trial.to_json()) for trial in trials]


@every_search
def test_a_search_killed_in_any_round_or_within_a_line_ends_as_if_never_killed(tmp_path, kind, space):
    whole = tmp_path / "whole.jsonl"
    expected = plain(search(whole, kind, space))
    lines = whole.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    for kept in range(6):
        for torn in (b"", lines[kept][:-1], lines[kept][: len(lines[kept]) // 2]) if kept < 5 else (b"", b"\0\0\0\n"):
            log = tmp_path / "killed.jsonl"
            log.write_bytes(b"".join(lines[:kept]) + torn)
            evaluate = Measured()
            assert plain(search(log, kind, space, evaluate)) == expected
            assert log.read_bytes() == whole.read_bytes()
            assert len(evaluate.genotypes) == sum(len(json.loads(line)["trials"]) for line in lines[kept:])


@every_search
def test_a_search_interrupted_while_evaluating_goes_on_with_the_round_it_was_in(tmp_path, kind, space):
    expected = plain(search(tmp_path / "whole.jsonl", kind, space))
    for dies_after in (0, 1, 13):
        log = tmp_path / f"{dies_after}.jsonl"
        with pytest.raises(KeyboardInterrupt):
            search(log, kind, space, Measured(dies_after))
        assert plain(search(log, kind, space)) == expected


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_explore import Measured, search
from pathlib import Path
measured = Measured()
def evaluate(genotypes):
    time.sleep(0.01)
    return measured(genotypes)
search(Path(sys.argv[1]), evaluate=evaluate, rounds=200, on_round=lambda number, trials: print(number, flush=True))
"""


def test_a_search_killed_by_a_signal_goes_on_to_the_same_end(tmp_path):
    log = tmp_path / "trials.jsonl"
    arguments = [sys.executable, "-c", SCRIPT, str(log), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 4:
                process.send_signal(signal.SIGKILL)
                break
    assert len(log.read_bytes().splitlines()) >= 5
    assert plain(search(log, rounds=12)) == plain(search(tmp_path / "whole.jsonl", rounds=12))


GENERATIONS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_explore import generations
from pathlib import Path
generations(Path(sys.argv[1]), lambda number, trials: print(number, flush=True), pause=0.04)
"""


def generations(log, on_round=None, pause=0.0):
    """Twenty rounds at the population of GAN Compression."""
    budget = Budget(macs=limit_of(WIDTHS))
    allows = lambda genotype: budget.allows(costs(genotype))  # noqa: E731
    measured = Measured()

    def evaluate(genotypes):
        time.sleep(pause)
        return measured(genotypes)

    searcher = Evolution(WIDTHS, FID, allows, 100, 25, 0.2, anchor=require_reachable(WIDTHS, costs, budget))
    return explore(searcher, evaluate, log=log, seed=0, step="channel", rounds=20, on_round=on_round)


def test_twenty_generations_killed_five_times_end_with_the_trials_of_those_left_alone(tmp_path):
    log = tmp_path / "trials.jsonl"
    arguments = [sys.executable, "-c", GENERATIONS, str(log), str(Path(__file__).parent)]
    for last in (2, 5, 8, 11, 14):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if int(line) == last:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
        assert last + 1 <= len(log.read_bytes().splitlines()) < 20
    expected = generations(tmp_path / "whole.jsonl")
    assert len(expected) == 2000
    assert plain(generations(log)) == plain(expected)
    assert log.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_round_is_on_disk_before_the_next_begins(tmp_path):
    log, written = tmp_path / "trials.jsonl", []

    def evaluate(genotypes):
        written.append(len(log.read_bytes().splitlines()) if log.exists() else 0)
        return Measured()(genotypes)

    search(log, evaluate=evaluate)
    assert written == [0, 1, 2, 3, 4]


def test_trials_know_their_round_and_step_and_rounds_are_announced_when_replayed_too(tmp_path):
    log, first, again = tmp_path / "trials.jsonl", [], []
    trials = search(log, on_round=lambda number, told: first.append((number, plain(told))))
    assert [trial.round for trial in trials] == [number for number in range(5) for _ in range(6)]
    assert {trial.step for trial in trials} == {"channel"}
    search(log, on_round=lambda number, told: again.append((number, plain(told))))
    assert again == first


def test_steps_share_a_log_and_each_replays_its_own(tmp_path):
    log = tmp_path / "trials.jsonl"
    expected = {step: plain(search(log, step=step, rounds=3)) for step in ("path", "operator", "channel")}
    assert len(log.read_bytes().splitlines()) == 9
    for step, trials in expected.items():
        evaluate = Measured()
        assert plain(search(log, step=step, rounds=3, evaluate=evaluate)) == trials
        assert evaluate.genotypes == []
    assert expected["path"] != expected["operator"]


@pytest.mark.parametrize("allowance", [1, 6, 17, 30])
def test_evaluations_are_used_up_exactly(tmp_path, allowance):
    evaluate = Measured()
    trials = search(tmp_path / "log.jsonl", evaluate=evaluate, rounds=None, evaluations=allowance)
    assert len(trials) == len(evaluate.genotypes) == allowance


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_allowance_goes_on_as_if_it_had_been_given_at_once(tmp_path, kind):
    expected = plain(search(tmp_path / "whole.jsonl", kind, rounds=None, evaluations=40))
    log = tmp_path / "log.jsonl"
    for allowance in (4, 9, 20, 20, 40, 40):
        trials = search(log, kind, rounds=None, evaluations=allowance)
        assert plain(trials) == expected[:allowance]
    evaluate = Measured()
    assert plain(search(log, kind, rounds=None, evaluations=15, evaluate=evaluate)) == expected[:15]
    assert evaluate.genotypes == []


def test_one_point_and_exhausted_spaces_end_without_any_limit(tmp_path):
    pinned = WIDTHS.pin(WIDTHS.smallest())
    for kind in KINDS:
        trials = search(tmp_path / f"{kind}.jsonl", kind, pinned, rounds=None)
        assert [trial.genotype for trial in trials] == [WIDTHS.smallest()]
    small = WIDTHS.pin(WIDTHS.smallest(), free=("c1", "c2"))
    for kind in KINDS:
        log = tmp_path / f"{kind}-small.jsonl"
        found = {trial.genotype for trial in search(log, kind, small, rounds=None)}
        assert found == {genotype for genotype in small.enumerate() if costs(genotype)["macs"] <= limit_of(small)}


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"kind": "random"}, {"space": MASKS}, {"space": WIDTHS.narrow({"c1": (16,)})}]
)
def test_the_log_of_another_search_is_refused_with_advice(tmp_path, other):
    log = tmp_path / "log.jsonl"
    search(log, seed=0, rounds=3)
    before = log.read_bytes()
    with pytest.raises(RunError, match="remove the log"):
        search(log, rounds=3, **other)
    assert log.read_bytes() == before


def test_a_log_of_another_batch_is_refused_even_where_its_genotypes_begin_the_same(tmp_path):
    log = tmp_path / "log.jsonl"
    explore(RandomSearch(WIDTHS, FID, lambda g: True, 6), Measured(), log=log, seed=0, step="s", rounds=1)
    with pytest.raises(RunError, match="other genotypes in round 0"):
        explore(RandomSearch(WIDTHS, FID, lambda g: True, 9), Measured(), log=log, seed=0, step="s", rounds=1)


def test_the_randomness_of_a_round_comes_from_seed_step_and_round_alone(tmp_path):
    drawn = []

    class Recorded(RandomSearch):
        def ask(self, rng):
            drawn.append(rng.random())
            return super().ask(rng)

    explore(Recorded(WIDTHS, FID, lambda g: True, 2), Measured(), log=tmp_path / "log", seed=7, step="path", rounds=3)
    assert drawn == [random.Random(f"7/path/{number}").random() for number in range(3)]


def test_a_log_damaged_in_the_middle_is_refused_and_left_as_it_is(tmp_path):
    log = tmp_path / "log.jsonl"
    search(log)
    lines = log.read_bytes().splitlines(keepends=True)
    for damaged in (
        [lines[0], lines[1][:20] + b"\n", *lines[2:]],
        [lines[0], *lines[2:]],
        [lines[0], lines[0], *lines[1:]],
        [*lines, b'{"note": "not a round"}\n'],
        [lines[0].replace(b'"fid": ', b'"fid": [], "kid": '), *lines[1:]],
    ):
        log.write_bytes(b"".join(damaged))
        with pytest.raises(RunError, match="remove the log"):
            search(log)
        assert log.read_bytes() == b"".join(damaged)


def test_a_disk_that_is_full_stops_the_search_and_loses_only_the_round(tmp_path):
    log = tmp_path / "log.jsonl"
    expected = plain(search(tmp_path / "whole.jsonl"))
    search(log, rounds=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 100, limits[1]))
        with pytest.raises(RunError, match="cannot write the search log"):
            search(log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert plain(search(log)) == expected


def test_a_log_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write the search log") as error:
        search(tmp_path / "file" / "log.jsonl")
    assert "\n" not in str(error.value)


def test_an_evaluation_that_answers_other_genotypes_or_metrics_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    with pytest.raises(ValueError, match="one trial for each genotype"):
        search(log, evaluate=lambda genotypes: Measured()(genotypes[1:]))
    assert not log.exists()
    with pytest.raises(RecipeError, match="'fid' was not measured"):
        search(log, evaluate=lambda genotypes: [Trial(g, {}, {"kid": 1.0}) for g in genotypes])
    assert not log.exists()


def test_searching_imports_neither_torch_nor_numpy():
    code = "import sys, slimgen.search; print({'torch', 'numpy', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
