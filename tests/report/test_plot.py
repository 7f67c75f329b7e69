import math

import pytest

from slimgen.report.front import Front
from slimgen.report.plot import plot_of
from slimgen.search import Genotype, Objective, Trial

BEST = Objective("psnr", "max")


def trial(name, macs, psnr, step="channel", **costs):
    return Trial(Genotype({"name": name}), {"macs": macs, **costs}, {"psnr": psnr}, step=step)


TRIALS = [trial("a", 1e6, 10.0), trial("b", 2e6, 12.0), trial("c", 3e6, 11.0), trial("p", 4e6, 20.0, "path")]


def plot(trials=TRIALS, objective=BEST, chosen=TRIALS[1], **options):
    return plot_of(Front.of(trials, objective, chosen=chosen, **options))


def test_points_lie_where_their_cost_and_quality_are():
    shown = plot()
    assert [line[0] for line in shown.cells] == ["path", "channel", "channel", "channel"]  # the best first
    ticks = {text: place for place, text in shown.columns}
    below = {text: place for place, text in shown.rows}
    p, b, c, a = shown.dots
    assert (a.left, b.left, c.left, p.left) == pytest.approx([ticks[text] for text in ("1", "2", "3", "4")])
    assert (a.top, p.top) == pytest.approx((below["10"], below["20"]))
    assert all(0 < place < 100 for dot in shown.dots for place in (dot.left, dot.top))
    assert shown.across == "M MACs"
    assert shown.up == "PSNR ↑ (validation)"


def test_the_best_is_first_also_where_smaller_is_better():
    assert [line[-1] for line in plot(objective=Objective("psnr", "min")).cells] == [f"name {n}" for n in "acbp"]


def test_the_axis_and_the_line_are_those_of_the_budget():
    pair = [trial("a", 1e6, 10.0, latency_ms=9.0), trial("b", 2e6, 12.0, latency_ms=3.0)]
    shown = plot(pair, chosen=pair[1], limits={"latency_ms": 4.0})
    b, a = shown.dots
    assert b.left < shown.limit < a.left
    assert shown.across == "ms (predicted)"
    assert shown.limit_words == "4 ms (predicted)"
    assert shown.line == "front within the budget"
    assert plot(pair, chosen=pair[1]).limit is None
    assert plot(pair, chosen=pair[1]).line == "Pareto front"


def test_the_front_goes_through_its_points_in_stairs():
    shown = plot()
    _, b, _, a = shown.dots
    assert shown.segments == [(a.left, a.top, b.left, a.top), (b.left, a.top, b.left, b.top)]


def test_the_winner_is_the_point_of_its_own_step():
    again = trial("b", 2e6, 13.0, "even")
    shown = plot([*TRIALS, again], chosen=again)
    assert shown.cells[shown.chosen[2]][:2] == ["even widths", "13.00"]
    assert shown.chosen[:2] == shown.dots[shown.chosen[2]][:2]
    assert plot(chosen=trial("elsewhere", 1e6, 11.0)).chosen[2] is None


def test_steps_differ_in_colour_and_shape():
    path, channel = sorted(plot().steps, key=lambda step: step.trials)
    assert (path.name, path.trials, channel.name, channel.trials) == ("path", 1, "channel", 3)
    assert path.colour != channel.colour
    assert path.shape != channel.shape


def test_a_long_genotype_is_cut_and_a_mask_is_counted():
    genotype = Genotype({**{f"choice{number:02d}": number for number in range(20)}, "mask": "1" * 30 + "0" * 10})
    long = Trial(genotype, {"macs": 1e6, "bytes": 4096.0}, {"psnr": 10.0})
    shown = plot([long], chosen=long)
    assert shown.headings == ["step", "PSNR ↑", "MACs", "weights", "choices"]
    assert shown.cells[0][:4] == ["search", "10.00", "1.00 M", "4.00 KiB"]
    assert shown.cells[0][4].endswith("choice15 15, and 5 more")
    short = Trial(Genotype({"mask": "1" * 30 + "0" * 10}), {"macs": 1e6}, {"psnr": 10.0})
    assert plot([short], chosen=short).cells[0][-1] == "mask 30/40"


def test_trials_that_are_not_finite_are_left_out():
    assert plot([*TRIALS, trial("n", 2e6, math.nan), trial("i", 2e6, -math.inf)]) == plot()
