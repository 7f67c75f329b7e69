import math

import pytest

from slimgen.report.words import against, arrow, factor, generator, number, quality, seconds, size, stopping
from slimgen.text import amount


@pytest.mark.parametrize(
    ("value", "text"),
    [(56799264768, "56.8 G"), (11378179, "11.4 M"), (999_500, "1.00 M"), (310_000, "310 k"), (12, "12"), (None, "-")],
)
def test_counts_are_written_in_their_largest_unit(value, text):
    assert amount(value) == text


@pytest.mark.parametrize(("value", "text"), [(45512716, "43.4 MiB"), (1024, "1.00 KiB"), (100, "100 B")])
def test_bytes_are_written_in_powers_of_two(value, text):
    assert size(value) == text


def test_a_factor_is_the_original_over_the_found():
    assert factor(56.8, 5.68) == "10.0x"
    assert factor(1.0, 2.0) == "0.50x"
    assert factor(None, 1.0) == factor(1.0, 0) == ""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (10.0, 19.0, "slower than the original: 1.9 times"),
        (10.0, 125.0, "slower than the original: 12 times"),
        (10.0, 10.6, "slower than the original: 1.1 times"),
        (10.0, 10.4, "as the original"),
        (10.0, 10.0, "as the original"),
        (10.4, 10.0, "as the original"),
        (10.6, 10.0, "faster: 1.1 times"),
        (10.0, 4.2, "faster: 2.4 times"),
        (99.5, 10.0, "faster: 10 times"),
        (None, 1.0, ""),
        (1.0, None, ""),
        (1.0, 0.0, ""),
    ],
)
def test_gains_and_losses_are_in_words(before, after, words):
    assert against(before, after) == words


def test_the_words_for_operations_are_fewer_and_more():
    assert against(8.0, 1.0, "fewer", "more") == "fewer: 8.0 times"
    assert against(1.0, 1.2, "fewer", "more") == "more than the original: 1.2 times"


@pytest.mark.parametrize(
    ("value", "text"), [(0.44, "0.4 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_in_the_units_that_people_use(value, text):
    assert seconds(value) == text


def test_numbers_keep_the_digits_that_matter():
    assert number(1234567) == "1,234,567"
    assert number(0.123456) == "0.1235"
    assert number(math.nan) == number(None) == "-"
    assert number({"threads": 1, "runs": [2, 3]}) == "threads: 1, runs: 2, 3"


def test_quality_that_is_not_finite_is_a_dash():
    assert quality(21.3412) == "21.34"
    assert quality(0.81234) == "0.8123"
    assert quality(math.nan) == quality(math.inf) == quality(None) == "-"


def test_an_arrow_points_the_way_that_is_better():
    assert [arrow(goal) for goal in ("min", "max", "")] == ["↓", "↑", ""]


def test_rows_are_explained_by_their_kind_and_direction():
    assert generator("random1") == generator("random")
    assert generator("found_reverse") == f"{generator('found')}, in the reverse direction"
    assert generator("something") == ""


@pytest.mark.parametrize(
    ("best", "stalled", "said"),
    [
        (60_000, 0, "ran its 60,000 updates while still improving; its weights are those of update 60,000"),
        (
            9_000,
            9_000,
            "stopped improving at 9,000 updates of the 60,000 that it ran; its weights are those of update 9",
        ),
        (20_000, 9_000, "stopped improving at 9,000 updates, and improved again as its rate fell, in the 60,000 that"),
    ],
)
def test_the_end_of_an_early_stopped_training_is_described(best, stalled, said):
    metrics = {"updates": 60_000.0, "best_update": float(best), "stopped_improving": float(stalled)}
    assert stopping({**metrics, "val_psnr": 21.0}).startswith(f"original: by PSNR of the validation images it {said}")
    assert stopping({"updates": 60_000.0}) == ""
