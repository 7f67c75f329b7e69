import json

import pytest
from rich.console import Console

from slimgen.report.result import Cell
from slimgen.report.variants import parse_variants, read_variants, shown, variants_markdown, variants_table

FP32 = {
    "name": "fp32", "file": "generator.onnx", "bytes": 4096, "quality": {"psnr": 24.1, "ssim": 0.8, "fid": 40.0},
    "change": {"psnr": 0.0, "ssim": 0.0, "fid": 0.0}, "p50_ms": 6.8, "p95_ms": 7.1, "max_abs": 2e-6,
    "recommended": False,
}  # fmt: skip
INT8 = {
    **FP32, "name": "int8", "file": "generator_int8.onnx", "bytes": 1024, "p50_ms": 2.5, "p95_ms": 2.75,
    "quality": {"psnr": 23.6, "ssim": 0.80001, "fid": 39.0}, "change": {"psnr": -0.5, "ssim": 0.00001, "fid": -1.0},
    "max_abs": 0.08, "recommended": True,
}  # fmt: skip
GOALS = {"psnr": "max", "ssim": "max", "fid": "min"}


def write_card(run, name="card.json", **facts):
    (run / "export").mkdir(parents=True, exist_ok=True)
    (run / "export" / name).write_text(json.dumps(facts))


def test_a_change_is_beside_each_quality_in_words():
    table = shown(parse_variants([FP32, INT8]), GOALS)
    assert table.headings == ["size", "PSNR ↑", "SSIM ↑", "FID ↓", "p50 / p95 ms", "apart from PyTorch"]
    (_, before), (int8, after) = table.lines
    assert all(cell.note == "" for cell in before)
    assert int8.recommended
    assert after == [
        Cell("1.00 KiB"),
        Cell("23.60", "0.5 worse", "worse"),
        Cell("0.8000"),  # alike in the digits that are shown
        Cell("39.00", "1 better", "better"),
        Cell("2.5 / 2.75"),
        Cell("0.08"),
    ]


def test_a_change_of_an_unknown_goal_has_a_sign_and_no_colour():
    (_, _), (_, line) = shown(parse_variants([FP32, INT8]), {}).lines
    assert line[1] == Cell("23.60", "-0.5", "")


def test_both_directions_of_a_run_are_read(tmp_path):
    write_card(tmp_path, variants=[FP32, INT8])
    write_card(tmp_path, "card_reverse.json", variants=[FP32])
    found = read_variants(tmp_path, "mine")
    assert [(one.run, one.title, one.recommended) for one in found] == [
        ("mine", "fp32", False),
        ("mine", "int8", True),
        ("mine", "fp32, reverse", False),
    ]


@pytest.mark.parametrize("variants", [None, "int8", [3, {"file": "x"}]])
def test_a_card_of_an_older_version_has_no_variants(tmp_path, variants):
    write_card(tmp_path, **({} if variants is None else {"variants": variants}))
    assert read_variants(tmp_path) == []
    assert read_variants(tmp_path / "nowhere") == []


def test_what_was_not_measured_is_a_dash():
    (one,) = parse_variants([{"name": "fp16", "quality": {"psnr": None}}])
    assert variants_markdown([one], {}).splitlines()[-1] == "| fp16 | - | - |  |"
    assert shown([one], {}).lines[0][1] == [Cell("-")] * 3


def test_the_table_fits_a_terminal_of_80_columns():
    run = "a-run-with-a-long-name-of-somebody"
    found = parse_variants([FP32, INT8], run) + parse_variants([INT8], run, "_reverse")
    console = Console(width=80)
    with console.capture() as captured:
        console.print(variants_table(found, GOALS))
    text = captured.get()
    assert "…" not in text
    assert all(words in text for words in ("PSNR ↑", "SSIM ↑", "23.60", "int8, reverse", "2.5", "recommended"))
    assert "FID" not in text  # the first two metrics alone
