import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from slimgen.cli.app import app


@pytest.fixture
def runs(tmp_path):
    """Two finished runs, of which the second found a smaller generator."""
    for name, found in (("a", 1000), ("b", 500)):
        rows = [
            {
                "name": kind,
                "metrics": {"psnr": 20.0},
                "macs": {"exact": macs, "torchprofile": 2 * macs},
                "params": 10,
                "bytes": 40,
                "latency": {"runtime": "onnxruntime 1.31 cpu", "p50_ms": p50, "p95_ms": p50},
                "torch_latency": {"runtime": "torch 2.13 cpu", "p50_ms": 1.0},
            }
            for kind, macs, p50 in (("original", 8000, 2.0), ("found", found, 3.8 if name == "b" else 0.5))
        ]
        table = {"convention": "exact", "size": 64, "protocol": f"of {name}", "rows": rows}
        (tmp_path / name / "evaluate").mkdir(parents=True)
        (tmp_path / name / "evaluate" / "table.json").write_text(json.dumps(table))
    return tmp_path / "a", tmp_path / "b"


def compare(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_rows_of_all_runs_are_shown_with_their_factors(runs):
    shown = compare(*runs).stdout
    assert "1.00 k (8.00x)" in shown
    assert "500 (16.0x)" in shown


def test_speed_relative_to_the_runs_original_is_in_words(runs):
    shown = compare(*runs, "--markdown").stdout
    assert "| faster: 4.0 times |" in shown
    assert "| slower than the original: 1.9 times |" in shown
    assert "Latency: one image at a time in onnxruntime 1.31 cpu." in shown
    assert [row["torch_p50_ms"] for row in json.loads(compare(*runs, "--json").stdout)["rows"]] == [1.0] * 4


def test_runs_measured_by_different_protocols_are_marked(runs):
    assert "different protocols" in compare(*runs).stderr
    assert "different protocols" not in compare(runs[0], runs[0]).stderr


def test_json_holds_the_figures_themselves(runs):
    found = json.loads(compare(*runs, "--json").stdout)
    assert [(row["run"], row["name"], row["macs"]["exact"]) for row in found["rows"]] == [
        ("a", "original", 8000),
        ("a", "found", 1000),
        ("b", "original", 8000),
        ("b", "found", 500),
    ]


def test_another_convention_counts_otherwise(runs):
    assert "2.00 k (8.00x)" in compare(runs[0], "--convention", "torchprofile", "--markdown").stdout
    said = compare(runs[0], "--convention", "flops")
    assert said.exit_code == 2
    assert "exact, torchprofile" in said.stderr


def test_the_evaluate_folder_itself_may_be_named(runs):
    assert compare(runs[0] / "evaluate", "--markdown").stdout == compare(runs[0], "--markdown").stdout


def test_the_chart_is_a_picture(runs, tmp_path):
    assert compare(*runs, "--chart", tmp_path / "c.png").exit_code == 0
    with Image.open(tmp_path / "c.png") as image:
        assert image.format == "PNG"


def test_a_folder_of_runs_stands_for_the_finished_ones(runs, tmp_path):
    (tmp_path / "c" / "teach").mkdir(parents=True)
    assert compare(tmp_path, "--json").stdout == compare(*runs, "--json").stdout


def test_an_unfinished_run_is_named(runs, tmp_path):
    (tmp_path / "c").mkdir()
    said = compare(runs[0], tmp_path / "c")
    assert said.exit_code == 2
    assert f"nothing at {tmp_path / 'c' / 'evaluate' / 'table.json'}" in said.stderr


def test_marks_and_codes_of_a_folders_name_are_shown_as_they_are(runs, tmp_path):
    odd = tmp_path / "[red]a$b$\x1b[1m|"
    runs[0].rename(odd)
    said = compare(odd, runs[1], "--chart", tmp_path / "chart.png")
    assert said.exit_code == 0
    assert "[red]a$b$\\x1b[1m|" in said.stdout
    assert "\x1b" not in said.stdout + said.stderr
    assert r"\[red\]a$b$\\x1b\[1m\|" in compare(odd, runs[1], "--markdown").stdout


def test_exported_variants_follow_for_the_runs_that_have_some(runs):
    variants = [
        {"name": "fp32", "file": "generator.onnx", "bytes": 4096, "quality": {"psnr": 20.0}, "p50_ms": 2.0},
        {"name": "int8", "file": "generator_int8.onnx", "bytes": 1024, "quality": {"psnr": 19.5}, "recommended": True},
    ]
    (runs[1] / "export").mkdir()
    (runs[1] / "export" / "card.json").write_text(json.dumps({"variants": variants}))
    assert "exported variants" not in compare(runs[0]).stdout
    shown = compare(*runs).stdout
    assert "exported variants" in shown
    assert [line.split()[:4] for line in shown.splitlines() if "KiB" in line] == [
        ["b", "fp32", "4.00", "KiB"],
        ["b", "int8", "1.00", "KiB"],
    ]
    assert "| int8 | 1.00 KiB | 19.50 | - | recommended |" in compare(runs[1], "--markdown").stdout
    found = json.loads(compare(*runs, "--json").stdout)["variants"]
    assert [(one["run"], one["name"], one["recommended"]) for one in found] == [
        ("b", "fp32", False),
        ("b", "int8", True),
    ]
