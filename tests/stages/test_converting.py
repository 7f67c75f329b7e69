"""A run is converted from what its stages hold; what is missing is said in one line, and nothing is installed."""

import shutil
import sys
from pathlib import Path

import numpy
import onnx
import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.errors import SlimgenError
from slimgen.export.converting import environments
from slimgen.export.usability import verdicts
from slimgen.size import Size
from slimgen.stages import converting
from slimgen.stages.converting import convert_run
from tests.export.own_converter import use


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run to which conversions may be added."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("converted") / "run"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions run in this Python."""
    use(tmp_path, monkeypatch)
    monkeypatch.setattr(converting, "ready", lambda target, python, say: Path(sys.executable))


def slimgen(*words: object) -> tuple[int, str, str]:
    ended = CliRunner().invoke(app, ["convert", *map(str, words)])
    return ended.exit_code, ended.stdout, ended.stderr


def test_the_graph_for_phones_and_the_test_inputs_are_handed_over(run: Path, here: None) -> None:
    status, said, _ = slimgen(run, "--to", "litert")
    assert status == 0
    folder = run / "convert" / "litert"
    assert said.splitlines()[0] == str(folder)
    assert "fp32: generator.bin" in said
    assert "apart from PyTorch" in said
    with numpy.load(run / "evaluate" / "samples.npz") as samples:
        assert f"on {len(samples['input'])} images" in said
    verdict = verdicts(folder / "edge.onnx")["CoreML"]
    assert (verdict.takes, verdict.partitions) == ("YES", 1)
    with numpy.load(folder / "samples.npz") as handed, numpy.load(run / "evaluate" / "samples.npz") as samples:
        numpy.testing.assert_array_equal(handed["input"], samples["input"])
        assert handed["output"].shape == samples["input"].shape
        assert len(handed["calibration"]) == 0


def test_calibration_images_and_another_size(run: Path, here: None) -> None:
    found = convert_run(run, "openvino", size=Size.of("24x20"))
    (entry,) = onnx.load(found.folder / "edge.onnx").graph.input
    assert [side.dim_value for side in entry.type.tensor_type.shape.dim] == [1, 3, 24, 20]
    with numpy.load(found.folder / "samples.npz") as handed:
        assert handed["calibration"].shape[1:] == (3, 24, 20)
        assert len(handed["calibration"]) == 64
        assert handed["calibration"].std() > 0.1
        assert handed["output"].shape[1:] == (3, 24, 20)
    assert found.variants[0].max_abs < 1e-4


def test_figures_are_printed_as_json(run: Path, here: None) -> None:
    status, said, _ = slimgen(run, "--to", "ncnn", "--json")
    assert status == 0
    assert '"runtime": "ncnn"' in said
    assert '"max_abs": ' in said


REFUSED = {
    "an unknown runtime": (["--to", "tflite3"], "--to must name a runtime; got 'tflite3'"),
    "no runtime": ([], "convert needs RUNTIME; try slimgen convert runs/RECIPE --to litert"),
    "no reverse direction": (["--to", "ncnn", "--reverse"], "must have a generator of the reverse direction; got none"),
    "no such size": (["--to", "ncnn", "--size", "many"], "size"),
    "a Python without the converter": (
        ["--to", "litert", "--python", sys.executable],
        "the Python of --python must have litert_torch, ai_edge_litert, torch, onnx; got",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_converted_is_refused_in_one_line(what: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "commands", None)  # nothing may be installed
    words, line = REFUSED[what]
    status, _, said = slimgen(run, *words)
    assert status == 2
    assert line in said
    assert said.count("\n") == 1


def test_a_run_that_is_not_finished_or_was_changed_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SlimgenError, match=r"must be finished to be converted: prepare of .* is not; check the path"):
        convert_run(tmp_path / "nowhere", "ncnn")
    half = tmp_path / "half"
    shutil.copytree(run / "prepare", half / "prepare")
    with pytest.raises(SlimgenError, match=r"finetune of .* is not; run the recipe to the end first"):
        convert_run(half, "ncnn")
    for stage in ("finetune", "evaluate"):
        shutil.copytree(run / stage, half / stage)
    weights = half / "finetune" / "found.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(SlimgenError, match="must be unchanged since finetune wrote it"):
        convert_run(half, "ncnn")
