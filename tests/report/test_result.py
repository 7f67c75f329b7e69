import pytest

from slimgen.report.result import Cell, change, headline, marked, ratios, tone
from slimgen.report.table import headings, parse_table


def row(name, psnr, fid, macs=8000, params=800, p50=4.0):
    latency = {"runtime": "onnxruntime 1.31 cpu", "p50_ms": p50, "p95_ms": p50}
    costs = {"macs": {"exact": macs}, "params": params, "bytes": 4 * params}
    return {"name": name, "metrics": {"psnr": psnr, "fid": fid}, **costs, "latency": latency}


def table(*rows):
    return parse_table({"convention": "exact", "goals": {"psnr": "max", "fid": "min"}, "rows": list(rows)})


def column(shown, name, line):
    return marked(shown)[line][headings(shown.rows, "exact").index(name)]


@pytest.mark.parametrize(
    ("before", "after", "goal", "words"),
    [
        (24.1, 24.49, "max", "0.39 better"),
        (24.1, 21.2, "max", "2.9 worse"),
        (0.1728, 0.1016, "max", "0.071 worse"),
        (40.0, 200.4, "min", "160 worse"),
        (40.0, 39.0, "min", "1 better"),
        (24.101, 24.102, "max", ""),  # alike in the digits that are shown
        (24.1, 24.1, "max", ""),
        (None, 24.1, "max", ""),
        (24.1, float("nan"), "max", "worse"),
        (24.1, 30.0, "", ""),
    ],
)
def test_a_change_is_told_in_words(before, after, goal, words):
    assert change(before, after, goal) == words


def test_what_is_not_a_number_is_worse_whatever_the_goal():
    assert tone(1.0, float("nan"), "min") == tone(1.0, float("nan"), "max") == "worse"
    assert tone(float("nan"), 1.0, "min") == "better"


def test_every_cell_says_how_it_differs_from_the_original():
    shown = table(row("original", 24.1, 40.0), row("found", 23.1, 36.0, 1000, 1600, 8.0))
    assert column(shown, "PSNR ↑", 1) == Cell("23.10", "1 worse", "worse")
    assert column(shown, "FID ↓", 1) == Cell("36.00", "4 better", "better")
    assert column(shown, "MACs (exact)", 1) == Cell("1.00 k", "8.00x less", "better")
    assert column(shown, "params", 1) == Cell("1.60 k", "2.00x more", "worse")
    assert column(shown, "speed", 1) == Cell("slower than the original: 2.0 times", "", "worse")
    assert all(cell.note == cell.tone == "" for cell in marked(shown)[0])


def test_the_reverse_direction_is_compared_with_its_own_original():
    shown = table(
        *(row("original", 24.1, 40.0), row("found", 24.1, 40.0)),
        *(row("original_reverse", 20.0, 60.0, 16000), row("found_reverse", 21.0, 60.0, 8000)),
    )
    assert column(shown, "PSNR ↑", 3) == Cell("21.00", "1 better", "better")
    assert column(shown, "MACs (exact)", 3) == Cell("8.00 k", "2.00x less", "better")
    assert column(shown, "PSNR ↑", 2) == Cell("20.00")
    assert [line[1].text for line in ratios(shown)] == ["", "as the original", "", "fewer: 2.0 times"]


def test_the_headline_has_a_word_for_each_tone():
    figures = headline(table(row("original", 24.1, 40.0), row("found", 23.1, 36.0, 1000, 1600, 8.0)))
    assert [(figure.label, figure.tone) for figure in figures] == [
        ("fewer MACs", "better"),
        ("more parameters", "worse"),
        ("slower than the original", "worse"),
        ("PSNR ↑: 1 worse", "worse"),
        ("FID ↓: 4 better", "better"),
    ]
