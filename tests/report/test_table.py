import json

import pytest
from rich.console import Console

from slimgen.errors import RunError
from slimgen.report.table import (
    cells,
    headings,
    legend,
    markdown_table,
    notes_of,
    parse_table,
    read_table,
    rows_table,
)

ORIGINAL = {
    "name": "original",
    "metrics": {"psnr": 21.34, "fid": 40.0},
    "macs": {"exact": 8_000_000, "torchprofile": 9_000_000},
    "params": 1_000_000,
    "bytes": 4_000_000,
    "latency": {"runtime": "torch 2.13 cpu", "variant": "float32 nhwc", "threads": 1, "p50_ms": 10.0, "p95_ms": 12.0},
    "updates": 1200,
}
FOUND = {**ORIGINAL, "name": "found", "macs": {"exact": 1_000_000, "torchprofile": 3_000_000}, "params": 250_000}
ONNX = {"runtime": "onnxruntime 1.31 cpu", "variant": "float32 nchw", "threads": 2, "p50_ms": 4.0, "p95_ms": 5.0}
VALUE = {
    "convention": "exact",
    "size": 64,
    "protocol": {"psnr": "of 8 bits"},
    "goals": {"psnr": "max", "fid": "min"},
    "rows": [ORIGINAL, FOUND],
}


def test_costs_have_their_factor_relative_to_the_original():
    table = parse_table(VALUE)
    line = dict(zip(headings(table.rows, "exact"), cells(table.rows, "exact")[1], strict=True))
    assert line["MACs (exact)"] == "1.00 M (8.00x)"
    assert line["params"] == "250 k (4.00x)"
    assert (line["p50 / p95 ms"], line["speed"]) == ("10 / 12", "as the original")
    other = dict(zip(headings(table.rows, "torchprofile"), cells(table.rows, "torchprofile")[1], strict=True))
    assert other["MACs (torchprofile)"] == "3.00 M (3.00x)"


def measured(name: str, p50: float, torch: float = 10.0, **more: object) -> dict:
    """A row with both latencies, as `evaluate` writes them."""
    latency = {**ONNX, "p50_ms": p50, "first_half_ms": p50, "second_half_ms": p50, **more}
    return {**ORIGINAL, "name": name, "latency": latency, "torch_latency": {**ORIGINAL["latency"], "p50_ms": torch}}


def column(rows: list[dict], name: str) -> list[str]:
    shown = parse_table({**VALUE, "rows": rows}).rows
    return [line[headings(shown, "exact").index(name)] for line in cells(shown, "exact")]


def test_the_latency_shown_is_onnxruntimes_whatever_pytorchs_is():
    rows = [measured("original", 4.0), measured("found", 1.0, torch=19.0), measured("narrowed", 7.6, torch=5.0)]
    assert column(rows, "speed") == ["", "faster: 4.0 times", "slower than the original: 1.9 times"]
    assert column(rows, "p50 / p95 ms") == ["4 / 5", "1 / 5", "7.6 / 5.0"]
    shown = parse_table({**VALUE, "rows": rows}).rows
    assert [row.torch_p50_ms for row in shown] == [10.0, 19.0, 5.0]
    assert {row.torch_runtime for row in shown} == {"torch 2.13 cpu, float32 nhwc, 1 thread"}


@pytest.mark.parametrize(
    ("halves", "shown"),
    [((4.0, 4.39), "4 / 5"), ((4.0, 4.41), "~4 / 5"), ((4.41, 4.0), "~4 / 5"), ((None, None), "4 / 5")],
)
def test_a_latency_with_differing_halves_is_marked_and_the_legend_explains_the_mark(halves, shown):
    rows = [measured("original", 4.0), measured("found", 4.0, first_half_ms=halves[0], second_half_ms=halves[1])]
    assert column(rows, "p50 / p95 ms") == ["4 / 5", shown]
    words = " ".join(legend(parse_table({**VALUE, "rows": rows}).rows))
    assert ("the two halves of its rounds are more than 10% apart" in words) == shown.startswith("~")


def test_the_legend_names_the_runtime_of_latencies_once_and_the_exceptions():
    rows = [measured("original", 4.0), measured("found", 2.0), measured("odd", 9.0)]
    same = "Latency: one image at a time, in turns, in onnxruntime 1.31 cpu, float32 nchw, 2 threads"
    assert legend(parse_table({**VALUE, "rows": rows}).rows) == [f"{same}."]
    rows[2]["latency"] = {**rows[2]["torch_latency"], "first_half_ms": 9.0, "instead": "onnx is not installed"}
    other = "of odd in torch 2.13 cpu, float32 nhwc, 1 thread, as onnx is not installed"
    assert legend(parse_table({**VALUE, "rows": rows}).rows) == [f"{same}; {other}."]
    assert legend(parse_table({**VALUE, "rows": rows}).rows)[0] in markdown_table(
        parse_table({**VALUE, "rows": rows}).rows
    )


def test_a_row_that_is_timed_in_pytorch_alone_is_compared_in_pytorch():
    rows = [measured("original", 4.0, torch=10.0), measured("odd", 5.0, torch=5.0)]
    rows[1]["latency"] = {**rows[1]["torch_latency"], "instead": "it is not exported"}
    assert column(rows, "speed")[1] == "faster: 2.0 times, both in PyTorch"


def test_an_older_table_shows_pytorchs_latency_with_a_note():
    rows = parse_table(VALUE).rows
    assert [(row.p50_ms, row.torch_p50_ms, row.first_half_ms) for row in rows] == [(10.0, 10.0, None)] * 2
    assert legend(rows) == ["Latency: one image at a time in torch 2.13 cpu, float32 nhwc, 1 thread."]
    new = parse_table({**VALUE, "rows": [measured("original", 4.0), measured("found", 2.0)]}, "new").rows
    old = parse_table({**VALUE, "rows": [ORIGINAL, {**FOUND, "latency": {**ORIGINAL["latency"], "p50_ms": 20}}]}, "old")
    words = {line[0]: line[headings(new, "exact").index("speed")] for line in cells([*new, *old.rows], "exact")[1::2]}
    assert words == {"new": "faster: 2.0 times", "old": "slower than the original: 2.0 times"}


def test_each_run_is_compared_with_its_own_original():
    dear = {**VALUE, "rows": [{**ORIGINAL, "params": 2_000_000}, FOUND]}
    rows = [*parse_table(VALUE, "a").rows, *parse_table(dear, "b").rows]
    shown = headings(rows, "exact")
    params = [line[shown.index("params")] for line in cells(rows, "exact")]
    assert shown[0] == "run"
    assert params == ["1.00 M", "250 k (4.00x)", "2.00 M", "250 k (8.00x)"]


def test_arrows_point_in_the_better_direction():
    assert headings(parse_table(VALUE).rows, "exact")[1:3] == ["PSNR ↑", "FID ↓"]


def test_the_better_direction_of_an_unknown_metric_is_read_from_the_table():
    table = {**VALUE, "goals": {"dists": "min"}, "rows": [{**ORIGINAL, "metrics": {"dists": 0.2, "psnr": 21.0}}]}
    assert headings(parse_table(table).rows, "exact")[1:3] == ["dists ↓", "PSNR"]


def test_named_sets_of_test_images_stand_for_the_mean_over_all():
    values = {"psnr_y": 27.0, "fid": 40.0, "psnr_y/set5": 30.0, "psnr_y/set14": 26.0}
    table = {**VALUE, "goals": {"psnr_y/set5": "max"}, "rows": [{**ORIGINAL, "metrics": values}]}
    assert headings(parse_table(table).rows, "exact")[1:4] == ["FID", "PSNR-Y set5 ↑", "PSNR-Y set14"]


def test_unmeasured_values_have_no_column():
    plain = {key: value for key, value in ORIGINAL.items() if key not in ("latency", "updates")}
    rows = parse_table({**VALUE, "rows": [plain]}).rows
    assert headings(rows, "exact") == ["generator", "PSNR ↑", "FID ↓", "MACs (exact)", "params", "weights"]


def test_quality_written_as_null_is_shown_as_a_dash():
    rows = parse_table({**VALUE, "rows": [{**ORIGINAL, "metrics": {"psnr": None}}]}).rows
    assert cells(rows, "exact")[0][1] == "-"


def test_markdown_has_a_line_for_each_row_and_two_for_the_heading():
    lines = markdown_table(parse_table(VALUE).rows).partition("\n\n")[0].splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {len(headings(parse_table(VALUE).rows, "exact")) + 1}


def test_the_terminal_table_shows_names_and_title():
    console = Console(width=120, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(rows_table(parse_table(VALUE).rows, "a title"))
    assert all(word in capture.get() for word in ("a title", "original", "found", "(8.00x)", "Latency: one image"))


def test_slower_generators_are_red_on_a_terminal():
    rows = parse_table({**VALUE, "rows": [measured("original", 4.0), measured("found", 8.0)]}).rows
    console = Console(width=200, force_terminal=True, color_system="standard", _environ={})
    with console.capture() as capture:
        console.print(rows_table(rows, "a title"))
    assert "\x1b[31mslower than the original: 2.0 times" in capture.get()
    assert "\x1b[31mfaster" not in capture.get()


def test_notes_are_below_the_table_with_the_names_of_their_runs():
    tables = [parse_table({**VALUE, "notes": notes}, run) for run, notes in (("a", ["one", "two"]), ("b", ["two"]))]
    rows = [row for table in tables for row in table.rows]
    assert notes_of(tables) == ["a: one", "two"]
    assert notes_of([parse_table({**VALUE, "notes": ["one"]})]) == ["one"]
    assert markdown_table(rows, notes=notes_of(tables)).endswith("thread.\n\n- a: one\n- two\n")
    console = Console(width=160, record=True)
    with console.capture() as capture:
        console.print(rows_table(rows, "a title", notes=["a sentence"]))
    assert capture.get().rstrip().endswith("a sentence")
    assert parse_table(VALUE).notes == ()


def test_a_table_is_read_from_a_finished_run(tmp_path):
    (tmp_path / "table.json").write_text(json.dumps(VALUE))
    table = read_table(tmp_path / "table.json", "r")
    assert [row.name for row in table.rows] == ["original", "found"]
    assert table.rows[0].runtime == "torch 2.13 cpu, float32 nhwc, 1 thread"
    assert table.rows[0].run == "r"


def test_a_run_without_a_table_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match=r"nothing at .*table\.json; run `slimgen evaluate`"):
        read_table(tmp_path / "table.json")


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"convention": "exact", "rows": []}', '{"rows": [{"name": 1}]}'])
def test_a_damaged_table_is_an_error(tmp_path, damage):
    (tmp_path / "table.json").write_text(damage)
    with pytest.raises(RunError, match=r"table\.json must"):
        read_table(tmp_path / "table.json")
