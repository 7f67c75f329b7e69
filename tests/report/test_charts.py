import math

import numpy as np
import pytest
from PIL import Image

from slimgen.errors import SlimgenError
from slimgen.report.charts import comparison_chart, pareto_chart, probability_chart, training_chart
from slimgen.report.table import TableRow
from slimgen.search import Genotype, Objective, Trial

BUDGET, CHOSEN = (201, 42, 42), (255, 212, 59)
BEST = Objective("psnr", "max")


def trial(name, macs, psnr, step="channel"):
    return Trial(Genotype({"name": name}), {"macs": macs}, {"psnr": psnr}, step=step)


TRIALS = [trial("a", 1e6, 10.0), trial("b", 2e6, 12.0), trial("c", 3e6, 11.0), trial("p", 4e6, 20.0, "path")]


def picture(path):
    """A picture as an array (height, width, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def pixels(path, colour):
    """Where a colour stands in a picture, as rows and columns."""
    return np.nonzero((picture(path) == colour).all(axis=2))


def test_the_budget_is_a_vertical_line_and_only_there_with_a_budget(tmp_path):
    pareto_chart(TRIALS, BEST, tmp_path / "with.png", chosen=TRIALS[1], limit=2.5e6)
    pareto_chart(TRIALS, BEST, tmp_path / "without.png", chosen=TRIALS[1], limit=None)
    rows, columns = pixels(tmp_path / "with.png", BUDGET)
    in_panel = columns < picture(tmp_path / "with.png").shape[1] * 0.8
    assert np.ptp(columns[in_panel]) <= 3
    assert np.ptp(rows[in_panel]) > 300
    assert len(pixels(tmp_path / "without.png", BUDGET)[0]) == 0


def test_the_winner_is_marked_where_it_lies(tmp_path):
    pareto_chart(TRIALS, BEST, tmp_path / "left.png", chosen=TRIALS[0])
    pareto_chart(TRIALS, BEST, tmp_path / "right.png", chosen=TRIALS[2])
    left, right = (pixels(tmp_path / name, CHOSEN)[1] for name in ("left.png", "right.png"))
    # The legend shows the same star at the same place, so the leftmost pixels are those of the panel.
    assert left.min() < right.min()


def test_trials_that_are_not_finite_are_left_out(tmp_path):
    pareto_chart(TRIALS, BEST, tmp_path / "a.png", chosen=TRIALS[1])
    broken = [trial("n", 2e6, math.nan), trial("i", 2e6, -math.inf)]
    pareto_chart([*TRIALS, *broken], BEST, tmp_path / "b.png", chosen=TRIALS[1])
    assert np.array_equal(picture(tmp_path / "a.png"), picture(tmp_path / "b.png"))


def test_a_chart_of_nothing_is_refused(tmp_path):
    with pytest.raises(SlimgenError, match="ssim and macs"):
        pareto_chart(TRIALS, Objective("ssim", "max"), tmp_path / "a.png", chosen=TRIALS[1])
    with pytest.raises(SlimgenError, match="needs losses"):
        training_chart([{"step": 1, "rate.generator": 1.0, "note": "x"}, {"step": 2, "loss": None}], tmp_path / "a.png")
    with pytest.raises(SlimgenError, match="needs rows"):
        comparison_chart([], tmp_path / "a.png")


def test_a_training_chart_has_a_panel_for_each_loss(tmp_path):
    for count in (1, 3, 4):
        lines = [{"step": step, **{f"generator.l{n}": 1 / step for n in range(count)}} for step in (1, 2, 3)]
        training_chart(lines, tmp_path / f"{count}.png")
    one, three, four = (picture(tmp_path / f"{count}.png").shape for count in (1, 3, 4))
    assert one[1] < three[1] == four[1]
    assert one[0] == three[0] < four[0]


def trace(choices, values):
    """A trace in which the first option's probability goes through these values, the second's through the rest."""
    return [
        {"step": 10 * at, "probabilities": {f"cell.op{n}": {"one": p, "other": 1 - p} for n in range(choices)}}
        for at, p in enumerate(values)
    ]


def test_probabilities_have_a_panel_for_each_choice(tmp_path):
    for count in (1, 4, 5):
        probability_chart(trace(count, (0.5, 0.9)), tmp_path / f"{count}.png")
    one, four, five = (picture(tmp_path / f"{count}.png").shape for count in (1, 4, 5))
    assert one[1] < four[1] == five[1]
    assert one[0] == four[0] < five[0]


def test_the_likeliest_option_is_drawn_strongest(tmp_path):
    probability_chart(trace(1, (0.5, 0.6, 0.7)), tmp_path / "first.png")
    probability_chart(trace(1, (0.5, 0.4, 0.3)), tmp_path / "second.png")
    blue = [len(pixels(tmp_path / f"{name}.png", (0, 114, 178))[0]) for name in ("first", "second")]
    yellow = [len(pixels(tmp_path / f"{name}.png", (230, 159, 0))[0]) for name in ("first", "second")]
    assert blue[0] > 1.3 * blue[1] > 0
    assert yellow[1] > 1.3 * yellow[0] > 0


def test_a_trace_without_probabilities_cannot_be_drawn(tmp_path):
    with pytest.raises(SlimgenError, match="needs some"):
        probability_chart([{"step": 1, "entropy": 0.5}], tmp_path / "none.png")


def test_generators_of_two_runs_differ_in_colour(tmp_path):
    rows = [
        TableRow("found", {"psnr": 20.0 + n}, {"exact": 10**6 * (n + 1)}, 1, 4, run=run) for n, run in enumerate("ab")
    ]
    comparison_chart(rows, tmp_path / "two.png")
    assert len(pixels(tmp_path / "two.png", (0, 114, 178))[0]) > 20
    assert len(pixels(tmp_path / "two.png", (230, 159, 0))[0]) > 20
    comparison_chart(rows[:1], tmp_path / "one.png")
    assert len(pixels(tmp_path / "one.png", (230, 159, 0))[0]) == 0


def test_what_is_slower_than_the_original_is_written_in_red(tmp_path):
    def drawn(found):
        rows = [
            TableRow(name, {"psnr": 20.0}, {"exact": macs}, 10, 40, p50_ms=p50)
            for name, macs, p50 in (("original", 8000, 1.0), ("found", 1000, found))
        ]
        comparison_chart(rows, tmp_path / f"{found}.png")
        return len(pixels(tmp_path / f"{found}.png", BUDGET)[0])

    assert drawn(0.5) == drawn(1.0) == 0 < drawn(1.9)


def test_drawing_leaves_no_figures_behind(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    pareto_chart(TRIALS, BEST, tmp_path / "a.png", chosen=TRIALS[1])
    assert plt.get_fignums() == before
