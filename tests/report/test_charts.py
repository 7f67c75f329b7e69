import numpy as np
import pytest
from PIL import Image

from slimgen.errors import SlimgenError
from slimgen.report.charts import comparison_chart, probability_chart, training_chart
from slimgen.report.table import TableRow

RED = (201, 42, 42)


def picture(path):
    """A picture as an array (height, width, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def pixels(path, colour):
    """Where a colour stands in a picture, as rows and columns."""
    return np.nonzero((picture(path) == colour).all(axis=2))


def test_a_chart_of_nothing_is_refused(tmp_path):
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
    with pytest.raises(SlimgenError, match="needs probabilities"):
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


def test_originals_that_two_runs_share_are_both_seen(tmp_path):
    rows = [TableRow("original", {"psnr": 20.0}, {"exact": 10**6}, 1, 4, run=run) for run in "abc"]
    comparison_chart(rows, tmp_path / "same.png")
    width = picture(tmp_path / "same.png").shape[1] * 0.8
    for colour in ((0, 114, 178), (230, 159, 0), (0, 158, 115)):
        columns = pixels(tmp_path / "same.png", colour)[1]
        assert (columns < width).sum() > 20  # in the panel, and not in the legend alone


def test_generators_slower_than_the_original_are_red(tmp_path):
    def drawn(found):
        rows = [
            TableRow(name, {"psnr": 20.0}, {"exact": macs}, 10, 40, p50_ms=p50)
            for name, macs, p50 in (("original", 8000, 1.0), ("found", 1000, found))
        ]
        comparison_chart(rows, tmp_path / f"{found}.png")
        return len(pixels(tmp_path / f"{found}.png", RED)[0])

    assert drawn(0.5) == drawn(1.0) == 0 < drawn(1.9)


def test_drawing_leaves_no_figures_behind(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    training_chart([{"step": 1, "loss": 1.0}], tmp_path / "a.png")
    assert plt.get_fignums() == before
