"""Files of 8-bit pictures: the same levels as by NumPy outside the graph."""

from pathlib import Path

import numpy
import onnx
import pytest
import torch
from torch import Tensor, nn

from slimgen.cost.latency import onnx_session
from slimgen.export.levels import in_bytes
from slimgen.export.onnx import export_onnx


class Negative(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return -x


class FromNoise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 3 * 8 * 8)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.map(z)).view(-1, 3, 8, 8)


def exported(net: nn.Module, path: Path, **options: int) -> onnx.ModelProto:
    export_onnx(net, path, height=8, width=8, **options)
    return onnx.load(path)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_level_of_every_channel_is_what_it_was(channels: int, tmp_path: Path) -> None:
    session = onnx_session(in_bytes(exported(Negative(), tmp_path / "n.onnx", channels=channels)).SerializeToString())
    levels = numpy.arange(2 * 16 * 8 * channels).astype(numpy.uint8).reshape(2, 16, 8, channels)
    got = session.run(None, {"input": levels})[0]
    assert got.dtype == numpy.uint8
    assert numpy.array_equal(got, 255 - levels)


def test_values_beyond_the_range_are_clipped(tmp_path: Path) -> None:
    net = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.bias.zero_()
    session = onnx_session(in_bytes(exported(net, tmp_path / "c.onnx", channels=1)).SerializeToString())
    levels = numpy.array([0, 100, 127, 128, 160, 255, 85, 170], numpy.uint8).repeat(8).reshape(1, 8, 8, 1)
    expected = ((levels / 127.5 - 1) * 3 + 1) * 127.5
    got = session.run(None, {"input": levels})[0]
    assert numpy.abs(got - expected.round().clip(0, 255)).max() <= 1


@pytest.mark.parametrize("edges", [False, True])
def test_ids_become_one_channel_per_class_and_one_of_edges(edges: bool, tmp_path: Path) -> None:
    classes = 3
    net = nn.Conv2d(classes + edges, 3, 1, bias=False)  # shows the class as a colour, and edges by brightness
    with torch.no_grad():
        net.weight.zero_()
        net.weight[:, :classes, 0, 0] = torch.eye(3)
        if edges:
            net.weight[:, classes, 0, 0] = -1
    model = in_bytes(exported(net, tmp_path / "l.onnx", channels=classes + edges), classes=classes)
    session = onnx_session(model.SerializeToString())
    ids = numpy.random.default_rng(0).integers(0, classes, (2, 8, 16, 1)).astype(numpy.uint8)
    edge = numpy.zeros_like(ids)
    edge[:, ::2] = 255
    given = numpy.concatenate([ids, edge], -1) if edges else ids
    got = session.run(None, {"input": given})[0].astype(int)
    values = numpy.eye(3)[ids[..., 0]] - (edge > 0) * edges
    assert numpy.array_equal(got, ((values + 1) * 127.5).round().clip(0, 255).astype(int))


def test_the_id_of_unknown_pixels_is_the_one_that_label_maps_have(tmp_path: Path) -> None:
    net = nn.Conv2d(3, 3, 1, bias=False)  # shows the class as a colour
    with torch.no_grad():
        net.weight[:, :, 0, 0] = torch.eye(3)
    model = in_bytes(exported(net, tmp_path / "u.onnx", channels=3), classes=3, unknown=True)
    ids = numpy.array([0, 1, 255, 2], numpy.uint8).repeat(16).reshape(1, 8, 8, 1)
    got = onnx_session(model.SerializeToString()).run(None, {"input": ids})[0]
    channels = (got[0, ::2, 0] > 200).astype(int)
    assert channels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]  # 2 is no id of the two known classes


def test_noise_is_taken_as_it_is(tmp_path: Path) -> None:
    plain = exported(FromNoise(), tmp_path / "z.onnx", latent=4)
    noise = numpy.random.default_rng(0).standard_normal((3, 4), numpy.float32)
    expected = onnx_session(plain.SerializeToString()).run(None, {"input": noise})[0]
    got = onnx_session(in_bytes(plain).SerializeToString()).run(None, {"input": noise})[0]
    assert got.shape == (3, 8, 8, 3)
    assert numpy.array_equal(got, ((expected + 1) * 127.5).round().clip(0, 255).transpose(0, 2, 3, 1))


def test_the_given_model_is_not_changed_and_the_new_one_is_valid(tmp_path: Path) -> None:
    plain = exported(Negative(), tmp_path / "n.onnx")
    before = plain.SerializeToString(deterministic=True)
    onnx.checker.check_model(in_bytes(plain), full_check=True)
    assert plain.SerializeToString(deterministic=True) == before
