"""Converters run in environments of their own: what is installed, handed over, reported and refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from slimgen.errors import ExportError, RunError, SlimgenError
from slimgen.export import converting
from slimgen.export.converting import TARGETS, Conversion, Target, convert, environments, ready, running, target_of
from slimgen.export.converting.converters.graph import Graph
from slimgen.export.converting.converters.job import Job
from slimgen.export.onnx import export_fixed
from slimgen.export.rewriting.phones import for_phones
from slimgen.run.lock import Lock
from tests.export.graphs import model, noise, run
from tests.export.own_converter import use

PLAIN = Target("plain", "Plain", ("pip",), ("pip",), 0.1)
"""A target whose environment needs nothing that is not in every one."""


@pytest.fixture(scope="module")
def handed() -> dict[str, Any]:
    """A network's graph for phones, inputs and outputs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 1), nn.Tanh())
    inputs = torch.from_numpy(noise(2, 3, 8, 10))
    with torch.inference_mode():
        outputs = torch.cat([net(part) for part in inputs.split(1)])
    graph = for_phones(onnx.load_from_string(export_fixed(net, (1, 3, 8, 10), rewrite=False)))
    parts = {"graph": graph.SerializeToString(), "inputs": inputs.numpy(), "outputs": outputs.numpy()}
    return {**parts, "calibration": [noise(1, 3, 8, 10)] * 3, "stem": "generator", "tolerance": 1e-4, "runs": 10}


def converted(
    handed: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: str = "", **changed: Any
) -> Conversion:
    """Convert with a converter that runs in this Python."""
    use(folder, monkeypatch, wrong)
    return convert(PLAIN, Path(sys.executable), folder / "made", **{**handed, **changed})


def test_the_figures_of_a_conversion_are_its_runtimes_own(handed, tmp_path, monkeypatch) -> None:
    found = converted(handed, tmp_path, monkeypatch)
    (variant,) = found.variants
    assert (variant.name, variant.files, variant.about) == ("fp32", ("generator.bin",), "input a, output b")
    assert (tmp_path / "made" / "generator.bin").read_bytes() == handed["graph"]
    assert variant.bytes == len(handed["graph"])
    session = onnxruntime.InferenceSession(handed["graph"])
    made = numpy.concatenate([session.run(None, {"input": one[None]})[0] for one in handed["inputs"]])
    apart = numpy.abs(made.astype(float) - handed["outputs"])
    assert (variant.max_abs, variant.mean_abs) == (apart.max(), apart.mean())
    assert variant.psnr_db == pytest.approx(10 * numpy.log10(4 / (apart**2).mean()))
    assert variant.images == 2
    assert variant.p95_ms >= variant.p50_ms > 0 < variant.onnxruntime_p50_ms
    assert "converting (3, 3, 8, 10)" in (tmp_path / "made" / running.LOG).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"converter.py", "made"}


def test_a_converter_reads_what_was_handed_over(handed, tmp_path) -> None:
    parts = [handed[name] for name in ("graph", "inputs", "outputs", "calibration", "stem")]
    path = running.hand_over(tmp_path, *parts, 2, 30, ("onnx", "no-such-package"))
    job = Job.read(path)
    numpy.testing.assert_array_equal(job.inputs, handed["inputs"])
    numpy.testing.assert_array_equal(job.outputs, handed["outputs"])
    assert job.calibration.shape == (3, 3, 8, 10)
    assert job.graph.read_bytes() == handed["graph"]
    assert (job.stem, job.threads, job.runs, job.out) == ("generator", 2, 30, tmp_path)
    assert str(tmp_path) not in path.read_text()


WRONG = {
    "an error": ('raise RuntimeError("no layer for it")', "got RuntimeError: no layer for it"),
    "an end by a signal": ("os.kill(os.getpid(), signal.SIGKILL)", "got an end by SIGKILL"),
    "an end without a word": ("os._exit(3)", r"got converting \(3, 3, 8, 10\)"),
    "another shape": ("call = lambda given: given[..., 1:]", r"it returns \(3, 8, 9\), and not \(3, 8, 10\)"),
    "no numbers": ("call = lambda given: given * numpy.nan", "values that are no numbers"),
    "another result": (
        "call = lambda given: given",
        "must return what the network returns, to 0.0001; got a difference of",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_conversion_that_goes_wrong_leaves_the_one_before(what, handed, tmp_path, monkeypatch) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "before").touch()
    wrong, line = WRONG[what]
    with pytest.raises(ExportError, match=line) as raised:
        converted(handed, tmp_path, monkeypatch, wrong)
    assert "\n" not in str(raised.value)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["before"]
    assert {path.name for path in tmp_path.iterdir()} == {"converter.py", "made"}


def test_a_new_conversion_replaces_the_one_before(handed, tmp_path, monkeypatch) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "before").touch()
    converted(handed, tmp_path, monkeypatch, calibration=[])
    assert not (tmp_path / "made" / "before").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"converter.py", "made"}


def test_what_a_killed_conversion_left_is_put_back_or_removed(handed, tmp_path, monkeypatch) -> None:
    for name in (".made.new", ".made.earlier"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "file").touch()
    with pytest.raises(ExportError):
        converted(handed, tmp_path, monkeypatch, "raise RuntimeError")
    assert {path.name for path in tmp_path.iterdir()} == {"converter.py", "made"}
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"folder", "file"}
    (tmp_path / ".made.earlier").mkdir()
    converted(handed, tmp_path, monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == {"converter.py", "made"}
    assert not (tmp_path / "made" / "folder").exists()


def test_two_conversions_into_one_folder_are_refused(handed, tmp_path, monkeypatch) -> None:
    (tmp_path / ".made.new").mkdir()
    lock = Lock(tmp_path / ".made.new")
    lock.acquire()
    with pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
        converted(handed, tmp_path, monkeypatch)
    lock.release()


def test_every_target_has_its_converter_and_exact_versions() -> None:
    folder = Path(converting.__file__).parent / "converters"
    for name, target in TARGETS.items():
        assert target.name == name
        assert (folder / f"{name}.py").is_file()
        assert all("==" in package for package in (*target.packages, *target.alone))
    with pytest.raises(SlimgenError, match=r"--to must name a runtime; got 'litrt'; did you mean 'litert'\?"):
        target_of("litrt")


def test_an_environment_is_made_by_these_commands() -> None:
    ncnn, folder = TARGETS["ncnn"], Path("cache") / "ncnn"
    venv, install, alone = environments.commands(ncnn, folder, "python3")
    python = str(environments.python_in(folder))
    assert venv == ["python3", "-m", "venv", "--clear", str(folder / "venv")]
    assert install[:4] == [python, "-m", "pip", "install"]
    assert set(ncnn.packages) <= set(install)
    assert alone[-2:] == ["--no-deps", "pnnx==20261020"]
    assert len(environments.commands(TARGETS["openvino"], folder, "python3")) == 2
    command, more = environments.conversion(Path("bin/python"), ncnn, Path("job.json"))
    assert command == [str(Path("bin/python")), "-m", "converters.ncnn", "job.json"]
    assert (Path(more["PYTHONPATH"]) / "converters" / "ncnn.py").is_file()


def test_other_packages_and_another_python_are_another_environment() -> None:
    root, litert = Path("cache"), TARGETS["litert"]
    places = {
        environments.place(target, version, root)
        for target in (litert, replace(litert, packages=("torch==1",)), replace(litert, alone=("torch==1",)))
        for version in ("3.11", "3.12")
    }
    assert len(places) == 6
    assert environments.cache({"XDG_CACHE_HOME": "x", "HOME": "y"}) == Path("x/slimgen/environments")
    assert environments.cache({"HOME": "y"}) == Path("y/.cache/slimgen/environments")


def test_an_environment_is_made_once_and_told_before(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    said: list[str] = []
    python = ready(PLAIN, None, said.append, tmp_path)
    assert len(said) == 1
    assert said[0].startswith(f"installing pip into {tmp_path}")
    look = [str(python), "-c", "import sys; print(sys.prefix)"]
    prefix = subprocess.run(look, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(prefix) == python.parents[1]
    assert Path(prefix) != Path(sys.prefix)
    assert ready(PLAIN, None, said.append, tmp_path) == python
    assert len(said) == 1


def test_an_environment_that_cannot_be_made_is_said_and_made_again_the_next_time(tmp_path, monkeypatch) -> None:
    fails = [[sys.executable, "-c", "import sys; sys.exit('WARNING: slow\\nERROR: No matching distribution\\nnote')"]]
    monkeypatch.setattr(environments, "commands", lambda *_: fails)
    said: list[str] = []
    for _ in range(2):
        with pytest.raises(
            ExportError, match="pip must install the converter to Plain; got ERROR: No matching"
        ) as raised:
            ready(PLAIN, None, said.append, tmp_path)
        assert "name that environment's Python with --python" in str(raised.value)
    assert len(said) == 2
    assert not list(tmp_path.glob(f"*/{environments.MADE}"))


def test_a_python_without_the_modules_is_refused_with_what_to_install(tmp_path) -> None:
    with pytest.raises(
        ExportError, match="without litert_torch, ai_edge_litert; in that environment: pip install litert"
    ):
        ready(TARGETS["litert"], Path(sys.executable), print)
    with pytest.raises(ExportError, match="the Python of --python must have ncnn, pnnx, onnx; got"):
        ready(TARGETS["ncnn"], tmp_path / "no-python", print)
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert ready(PLAIN, Path(os.path.relpath(link)), print) == link


def test_an_operator_that_no_converter_knows_is_named(tmp_path) -> None:
    onnx.save(model("output = Selu (input)", "float[1, 8, 4, 4]"), tmp_path / "selu.onnx")
    with pytest.raises(NotImplementedError, match="does not know the ONNX operator Selu"):
        Graph(str(tmp_path / "selu.onnx"))


KNOWN = {
    "uneven padding": ("output = Conv <pads=[0, 1, 2, 0]> (input, k, b)", {"k": (4, 8, 3, 3), "b": (4,)}),
    "groups and strides": ("output = Conv <group=2, strides=[2, 1]> (input, k)", {"k": (4, 4, 3, 3)}),
    "a batch norm": ("output = BatchNormalization (input, s, s, s, v)", {"s": (8,), "v": numpy.ones(8, numpy.float32)}),
    "pooling": ("a = MaxPool <kernel_shape=[1, 1], strides=[2, 2]> (input) output = Relu (a)", {}),
    "averages": (
        "a = AveragePool <kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]> (input) m = GlobalAveragePool (a) "
        "output = Sub (a, m)",
        {},
    ),
    "means and products": ("m = ReduceMean <axes=[2, 3]> (input) output = Mul (m, input)", {}),
    "activations": (
        "a = Elu (input) b = Sigmoid (a) c = HardSigmoid (b) d = HardSwish (c) e = Gelu (d) f = Softmax <axis=1> (e) "
        "g = LeakyRelu <alpha=0.2> (f) h = PRelu (g, s) i = Exp (h) j = Abs (i) k = Neg (j) l = Tanh (k) "
        "m = Mul (l, l) n = Sqrt (m) o = Identity (n) output = Div (o, i)",
        {"s": (8, 1, 1)},
    ),
    "other orders of axes": ("t = Transpose <perm=[0, 1, 3, 2]> (input) output = MatMul (input, t)", {}),
    "pixels channel by channel": ('output = DepthToSpace <blocksize=2, mode="CRD"> (input)', {}),
    "linear resizing": (
        'output = Resize <mode="linear", coordinate_transformation_mode="align_corners"> (input, , twice)',
        {},
    ),
    "nearest to a size": (
        'output = Resize <mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"> '
        "(input, , , n)",
        {"n": numpy.array([1, 8, 12, 9])},
    ),
}


@pytest.mark.parametrize("what", KNOWN)
def test_a_graph_read_as_a_module_computes_the_same(what: str, tmp_path: Path) -> None:
    text, constants = KNOWN[what]
    found = model(text, "float[1, 8, 6, 6]", **constants)
    if "ReduceMean" in text:  # whose axes were an attribute until operator set 18
        found.opset_import[0].version = 17
        found.ir_version = 8
    onnx.save(found, tmp_path / "graph.onnx")
    with torch.inference_mode():
        made = Graph(str(tmp_path / "graph.onnx"))(torch.from_numpy(noise(1, 8, 6, 6)))
    numpy.testing.assert_allclose(made, run(found, noise(1, 8, 6, 6)), rtol=1e-5, atol=1e-5)


UNKNOWN = {
    "a padded transposed convolution": ("output = ConvTranspose <pads=[1, 1, 1, 1]> (input, k)", (8, 2, 3, 3)),
    "a cubic": ('output = Resize <mode="cubic"> (input, , twice)', (1,)),
    "pooling that is spread": ("output = MaxPool <kernel_shape=[2, 2], dilations=[2, 2]> (input)", (1,)),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_form_that_is_not_for_phones_is_refused(what: str, tmp_path: Path) -> None:
    text, shape = UNKNOWN[what]
    onnx.save(model(text, "float[1, 8, 6, 6]", k=shape), tmp_path / "graph.onnx")
    with pytest.raises(NotImplementedError):
        Graph(str(tmp_path / "graph.onnx"))(torch.zeros(1, 8, 6, 6))


@pytest.mark.parametrize("name", TARGETS)
def test_a_real_conversion_where_its_environment_exists(name: str, handed, tmp_path) -> None:
    target = TARGETS[name]
    place = environments.place(target, ".".join(map(str, sys.version_info[:2])), environments.cache())
    if not (place / environments.MADE).is_file():
        pytest.skip(f"no environment for {target.title}: slimgen convert makes it")
    found = convert(target, ready(target, None, print), tmp_path / name, **handed)
    variants = {variant.name: variant for variant in found.variants}
    assert {path.name for path in (tmp_path / name).iterdir()} >= {
        part for variant in found.variants for part in variant.files
    }
    assert json.loads((tmp_path / name / running.RESULT).read_text())["versions"] == found.versions
    if "fp32" in variants:
        assert variants["fp32"].max_abs < 1e-4
    if target.calibrates:
        assert variants["int8"].psnr_db > 20
