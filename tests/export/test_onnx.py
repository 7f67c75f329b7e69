import hashlib
import io
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from slimgen.errors import ExportError
from slimgen.export.onnx import OnnxFile, export_fixed, export_onnx


def small() -> nn.Sequential:
    """Every layer that generators here are made of."""
    torch.manual_seed(0)
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, 8, 7), nn.InstanceNorm2d(8), nn.ReLU(True)]
    layers += [nn.Conv2d(8, 12, 3, 2, 1), nn.InstanceNorm2d(12, affine=True), nn.ReLU(True)]
    layers += [nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 12, 1), nn.BatchNorm2d(12), nn.Dropout(0.5)]
    layers += [nn.ConvTranspose2d(12, 8, 3, 2, 1, 1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2)]
    layers += [nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
    return nn.Sequential(*layers)


class FixedSize(nn.Module):
    """A network that knows only one size, as one with a learned position does."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.ones(1, 3, 12, 20))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x * self.position)


class Halving(nn.Module):
    """A network with a branch at a quarter of the size, which is added to one at full size."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 3, 3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x + nn.functional.interpolate(self.down(x), scale_factor=4.0))


class Branching(nn.Module):
    """A network that decides by what it sees: no graph can express it."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.mean()) > 0 else -x


def run(file: OnnxFile, images: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(file.path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {file.input[0]: images.numpy()})[0])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, OnnxFile]:
    net = small()
    return net, export_onnx(net, tmp_path_factory.mktemp("onnx") / "generator.onnx", height=24, width=32)


def test_a_file_for_one_shape_computes_the_same_and_takes_no_other(exported: tuple[nn.Module, OnnxFile]) -> None:
    net, file = exported
    content = export_fixed(net, (1, 3, 24, 32))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 3, 24, 32]
    images = torch.rand(1, 3, 24, 32) * 2 - 1
    made = torch.from_numpy(session.run(None, {"input": images.numpy()})[0])
    torch.testing.assert_close(made, run(file, images), rtol=1e-5, atol=1e-5)
    nodes = [sorted(node.op_type for node in onnx.load(one).graph.node) for one in (io.BytesIO(content), file.path)]
    assert nodes[0] == nodes[1]


def test_a_network_that_no_graph_can_express_has_no_file_for_one_shape_either() -> None:
    with pytest.raises(ExportError, match="one ONNX graph"):
        export_fixed(Branching(), (1, 3, 8, 8))


def test_every_layer_of_a_generator_exports_and_batch_height_and_width_vary(
    exported: tuple[nn.Module, OnnxFile],
) -> None:
    net, file = exported
    assert file.dynamic == ("batch", "height", "width")
    assert (file.opset, file.fixed_because) == (20, "")
    assert file.input == ("input", ("batch", 3, "height", "width"))
    net.eval()
    for shape in [(1, 3, 24, 32), (3, 3, 40, 16), (2, 3, 18, 50)]:
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(run(file, images), net(images), atol=1e-4, rtol=0)


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    export_onnx(net, tmp_path / "g.onnx", height=8, width=8, dynamic=False)
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_weights_are_inside_the_one_file(exported: tuple[nn.Module, OnnxFile]) -> None:
    _, file = exported
    assert [path.name for path in file.path.parent.iterdir()] == ["generator.onnx"]
    assert file.bytes == file.path.stat().st_size
    model = onnx.load(file.path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert not any(weight.external_data for weight in model.graph.initializer)


def test_no_trace_of_the_machine_is_left_in_the_file(exported: tuple[nn.Module, OnnxFile]) -> None:
    content = exported[1].path.read_bytes()
    for trace in (b".py", b"site-packages", b"File ", str(Path(__file__).parent).encode()):
        assert trace not in content


def test_another_process_writes_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from slimgen.nets import build_generator; from slimgen.export.onnx import export_onnx\n"
        "net = build_generator('resnet', ngf=4, blocks=1, seed=3)\n"
        "export_onnx(net, pathlib.Path(sys.argv[1]), height=16, width=16)"
    )
    outputs = []
    for name, seed in (("a", "1"), ("b", "2")):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        outputs.append(subprocess.Popen(command, env={"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, stderr=-2))
    assert [process.communicate()[0] for process in outputs] == [b"", b""]
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b")}
    assert len(digests) == 1


def test_a_network_of_one_size_is_exported_with_that_size_and_says_why(tmp_path: Path) -> None:
    file = export_onnx(FixedSize(), tmp_path / "g.onnx", height=12, width=20)
    assert file.dynamic == ("batch",)
    assert file.input[1] == ("batch", 3, 12, 20)
    assert file.fixed_because
    assert run(file, torch.zeros(5, 3, 12, 20)).shape == (5, 3, 12, 20)


def test_a_file_says_of_what_its_sides_must_be_multiples(exported, tmp_path: Path) -> None:
    assert exported[1].multiple == 1
    file = export_onnx(Halving(), tmp_path / "generator.onnx", height=16, width=24)
    assert (file.dynamic, file.multiple) == (("batch", "height", "width"), 4)
    assert run(file, torch.zeros(1, 3, 20, 28)).shape == (1, 3, 20, 28)
    with pytest.raises(RuntimeError):
        Halving()(torch.zeros(1, 3, 18, 24))


def test_height_and_width_are_fixed_where_that_is_asked_for(tmp_path: Path) -> None:
    file = export_onnx(nn.Conv2d(4, 2, 3), tmp_path / "g.onnx", height=9, width=7, channels=4, dynamic=False)
    assert (file.input[1], file.output[1]) == (("batch", 4, 9, 7), ("batch", 2, 7, 5))
    assert file.fixed_because == ""


def test_a_network_that_decides_by_its_values_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match="one ONNX graph") as caught:
        export_onnx(Branching(), tmp_path / "g.onnx", height=8, width=8)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_network_of_noise_leaves_its_batch_free_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(5, 8 * 16), nn.Unflatten(1, (8, 4, 4)), nn.BatchNorm2d(8), nn.Upsample(scale_factor=2)
    )
    net.append(nn.Conv2d(8, 3, 3, padding=1))
    file = export_onnx(net, tmp_path / "noise.onnx", height=8, width=8, latent=5)
    assert file.input == ("input", ("batch", 5))
    assert file.output[1][0] == "batch"
    assert file.output[1][1:] == (3, 8, 8)
    assert (file.dynamic, file.fixed_because) == (("batch",), "")
    noise = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(run(file, noise), net.eval()(noise), atol=1e-5)
