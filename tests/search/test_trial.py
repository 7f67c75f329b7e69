import json
import math
import random

import pytest

from slimgen.errors import RunError
from slimgen.search import Genotype, Objective, Trial, best, pareto
from slimgen.search.trial import leaders

FID = Objective("fid", "min")


def trial(index, macs, fid):
    return Trial(Genotype({"i": index}), {"macs": macs}, {"fid": fid})


def test_a_trial_survives_strict_json_even_where_it_is_not_finite():
    quality = {"fid": math.nan, "miou": math.inf, "psnr": -math.inf, "l1": 0.1}
    whole = Trial(Genotype({"a": "x", "b": 0.5}), {"macs": 10**12, "latency_ms": 1.5}, quality, 3, "channel", 0.25)
    text = json.dumps(whole.to_json(), allow_nan=False)
    copy = Trial.from_json(json.loads(text))
    assert math.isnan(copy.quality.pop("fid"))
    del quality["fid"]
    assert copy == whole
    assert json.loads(text)["key"] == whole.genotype.key
    assert math.isnan(Trial.from_json({**whole.to_json(), "quality": {"fid": None}}).quality["fid"])


def test_completeness_is_stored_and_a_line_without_it_counts_as_complete():
    left = Trial(Genotype({"i": 0}), {}, {"fid": 1.0}, complete=False)
    assert Trial.from_json(json.loads(json.dumps(left.to_json()))) == left
    old = left.to_json()
    del old["complete"]
    assert Trial.from_json(old).complete


def test_an_estimate_is_neither_best_nor_on_the_front():
    left = Trial(Genotype({"i": 0}), {"macs": 1.0}, {"fid": 0.5}, complete=False)
    whole = trial(1, 2.0, 1.0)
    assert best([left, whole], FID) == whole
    assert best([left], FID) is None
    assert pareto([left, whole], FID) == [whole]


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, {"genotype": {}}, {"quality": {"fid": "good"}}, {"costs": []}, {"round": "x"}),
        {"complete": "no"},
    ],
)
def test_json_that_is_not_a_trial_is_refused(value):
    if isinstance(value, dict) and value:
        value = {**trial(0, 1, 1).to_json(), **value} if "genotype" not in value else value
    with pytest.raises(RunError, match="a trial needs"):
        Trial.from_json(value)


def test_the_front_is_what_no_other_trial_dominates():
    rng = random.Random(0)
    trials = [trial(index, rng.randrange(30), rng.randrange(30)) for index in range(200)]

    def dominated(a):
        return any(
            b.costs["macs"] <= a.costs["macs"]
            and b.quality["fid"] <= a.quality["fid"]
            and (b.costs, b.quality) != (a.costs, a.quality)
            for b in trials
        )

    front = pareto(trials, FID)
    points = [(t.costs["macs"], t.quality["fid"]) for t in front]
    assert points == sorted({(t.costs["macs"], t.quality["fid"]) for t in trials if not dominated(t)})


def test_a_failed_or_unmeasured_trial_is_neither_best_nor_on_the_front():
    failed = trial(0, 1, math.nan)
    assert pareto([failed, Trial(Genotype({"i": 1}), {}, {"fid": 1})], FID) == []
    assert best([failed], FID) is None
    assert best([failed, trial(2, 9, 5.0), trial(3, 1, 5.0)], FID) == trial(2, 9, 5.0)


def test_the_best_of_a_round_is_of_its_step_and_of_complete_trials() -> None:
    def trial(step: str, number: int, psnr: float, complete: bool = True) -> Trial:
        return Trial(Genotype({"a": str(psnr)}), {}, {"psnr": psnr}, number, step, complete=complete)

    trials = [trial("path", 0, 5.0), trial("path", 0, 7.0), trial("path", 1, 6.0), trial("op", 0, 3.0)]
    trials += [trial("op", 1, 9.0, complete=False), trial("op", 1, float("nan"))]
    course = leaders(trials, Objective("psnr", "max"))
    assert course == [(0, trials[1]), (1, trials[1]), (2, trials[3]), (3, trials[3])]
