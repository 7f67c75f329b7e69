import math

import numpy as np
import pytest
from PIL import Image

from slimgen.errors import SlimgenError
from slimgen.report.front import front_chart
from slimgen.search import Genotype, Objective, Trial

BUDGET, CHOSEN, FRONT = (201, 42, 42), (255, 212, 59), (33, 37, 41)
BEST = Objective("psnr", "max")


def trial(name, macs, psnr, step="channel", **costs):
    return Trial(Genotype({"name": name}), {"macs": macs, **costs}, {"psnr": psnr}, step=step)


TRIALS = [trial("a", 1e6, 10.0), trial("b", 2e6, 12.0), trial("c", 3e6, 11.0), trial("p", 4e6, 20.0, "path")]


def picture(path):
    """A picture as an array (height, width, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def pixels(path, colour):
    """Where a colour stands in a picture, as rows and columns."""
    return np.nonzero((picture(path) == colour).all(axis=2))


def test_the_budget_is_a_vertical_line_and_only_there_with_a_budget(tmp_path):
    front_chart(TRIALS, BEST, tmp_path / "with.png", chosen=TRIALS[1], limits={"macs": 2.5e6})
    front_chart(TRIALS, BEST, tmp_path / "without.png", chosen=TRIALS[1])
    rows, columns = pixels(tmp_path / "with.png", BUDGET)
    in_panel = columns < picture(tmp_path / "with.png").shape[1] * 0.75
    assert np.ptp(columns[in_panel]) <= 3
    assert np.ptp(rows[in_panel]) > 300
    assert len(pixels(tmp_path / "without.png", BUDGET)[0]) == 0


def test_the_axis_is_the_one_that_the_budget_limits(tmp_path):
    # By parameters the order of the two is the reverse of that by MACs.
    pair = [trial("a", 1e6, 10.0, params=9e3), trial("b", 2e6, 12.0, params=3e3)]
    star = {}
    for limits in ({"macs": 1e7}, {"params": 1e7}, {"params": 1e7, "macs": 1e7}):
        front_chart(pair, BEST, tmp_path / "a.png", chosen=pair[1], limits=limits)
        columns = pixels(tmp_path / "a.png", CHOSEN)[1]
        star["+".join(limits)] = columns[columns < picture(tmp_path / "a.png").shape[1] * 0.75].mean()
    assert star["params"] < star["macs"] == star["params+macs"]


def test_trials_beyond_the_budget_are_not_in_the_front(tmp_path):
    # One point within: the front is that point, and no line of the front's colour leads to the better one beyond.
    pair = [trial("a", 1e6, 10.0), trial("b", 9e6, 30.0)]
    front_chart(pair, BEST, tmp_path / "within.png", chosen=pair[0], limits={"macs": 2e6})
    front_chart(pair, BEST, tmp_path / "all.png", chosen=pair[0], limits={"macs": 2e7})
    within, everything = (
        ((picture(tmp_path / f"{name}.png")[150:500, 300:600] == FRONT).all(axis=2)).sum() for name in ("within", "all")
    )
    assert within < everything


def test_the_front_is_of_the_steps_that_the_winner_was_chosen_among(tmp_path):
    rivals = [trial("even", 4e6, 14.0, "even"), *TRIALS]
    for name, steps in (("one", ()), ("two", ("even", "channel"))):
        front_chart(rivals, BEST, tmp_path / f"{name}.png", chosen=rivals[0], steps=steps)
    alone, both = (len(pixels(tmp_path / f"{name}.png", FRONT)[0]) for name in ("one", "two"))
    assert both > alone + 200


def test_trials_that_are_not_finite_are_left_out(tmp_path):
    front_chart(TRIALS, BEST, tmp_path / "a.png", chosen=TRIALS[1])
    broken = [trial("n", 2e6, math.nan), trial("i", 2e6, -math.inf)]
    front_chart([*TRIALS, *broken], BEST, tmp_path / "b.png", chosen=TRIALS[1])
    assert np.array_equal(picture(tmp_path / "a.png"), picture(tmp_path / "b.png"))


def test_a_chart_of_no_trials_is_refused(tmp_path):
    with pytest.raises(SlimgenError, match="ssim and macs"):
        front_chart(TRIALS, Objective("ssim", "max"), tmp_path / "a.png", chosen=TRIALS[1])
