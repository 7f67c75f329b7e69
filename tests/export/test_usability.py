"""What the accelerators of phones take of a file is told in figures, with the reasons."""

from pathlib import Path

import onnx
import pytest
from torch import nn

from slimgen.errors import ExportError
from slimgen.export.onnx import export_fixed, export_onnx
from slimgen.export.rewriting.phones import for_phones
from slimgen.export.usability import PROVIDERS, verdicts
from slimgen.nets import build_generator


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet: any size, one size, and for phones."""
    folder = tmp_path_factory.mktemp("usability")
    net = build_generator("resnet", seed=0, ngf=4, blocks=2)
    export_onnx(net, folder / "any.onnx", height=32, width=32, rewrite=False)
    plain = export_fixed(net, (1, 3, 32, 32), rewrite=False)
    (folder / "one.onnx").write_bytes(plain)
    onnx.save(for_phones(onnx.load_from_string(plain)), folder / "edge.onnx")
    return folder


def test_the_file_for_phones_alone_runs_there_in_one_piece(files: Path) -> None:
    found = {name: verdicts(files / f"{name}.onnx")["CoreML"] for name in ("any", "one", "edge")}
    assert {name: verdict.takes for name, verdict in found.items()} == {"any": "NO", "one": "NO", "edge": "YES"}
    assert (found["any"].supported, found["any"].reasons[-1]) == (0, f"{found['any'].nodes} nodes whose shape varies")
    assert found["one"].partitions > 5
    assert found["one"].reasons == ("6 nodes of Pad",)
    assert found["edge"].supported == found["edge"].nodes > found["one"].nodes
    assert found["edge"].partitions == 1


def test_each_provider_has_reasons_of_its_own(files: Path) -> None:
    found = verdicts(files / "edge.onnx")
    assert found.keys() == PROVIDERS.keys()
    assert found["NNAPI"].reasons == ("11 nodes of ConvTranspose, InstanceNormalization",)
    assert {found[name].takes for name in ("NNAPI", "CoreML NeuralNetwork")} == {"NO"}
    assert [name for name, verdict in found.items() if verdict.provider != name] == []


def test_convolutions_alone_run_everywhere(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Tanh())
    (tmp_path / "plain.onnx").write_bytes(export_fixed(net, (1, 3, 8, 8), rewrite=False))
    assert {verdict.takes for verdict in verdicts(tmp_path / "plain.onnx").values()} == {"YES"}


def test_a_file_that_is_no_model_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"what phones take of no\.onnx; got"):
        verdicts(tmp_path / "no.onnx")
