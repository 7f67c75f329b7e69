from collections import Counter

import numpy
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.errors import ExportError
from slimgen.export.latency.graph import onnx_graph
from slimgen.export.onnx import export_onnx
from slimgen.nets.cf_gan import upscale_space
from slimgen.nets.cf_gan.layers import build
from slimgen.nets.cf_gan.space import Shape, rows_of
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.gan_compression.once_for_all import OnceForAll

SHAPE = (1, 4, 8, 12)


class Functions(nn.Module):
    """What generators compute without layers of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 4).view(1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        up = functional.interpolate(x, scale_factor=2, mode="bilinear")
        up = up + functional.interpolate(x, size=(16, 24), mode="nearest")
        padded = functional.pad(torch.relu_(up * 1.0), (1, 2, 3, 0), mode="reflect")
        both = torch.cat([functional.leaky_relu(1 - padded, 0.1), padded.sigmoid() / 2], dim=1)
        return both * 2 + 1


class Scaled(Functions):
    """A parameter used by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.scale)


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


def normed(kind: type[nn.BatchNorm2d] | type[nn.InstanceNorm2d]) -> nn.Module:
    """An affine norm whose every value matters."""
    torch.manual_seed(0)
    layer = kind(4, affine=True)
    for value in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        if value is not None:
            nn.init.uniform_(value, 0.5, 2)
    return layer


LAYERS = {
    "dense": nn.Conv2d(4, 6, (3, 5), padding=(1, 2)),
    "stride": nn.Conv2d(4, 6, 3, 2, 1, bias=False),
    "dilated": nn.Conv2d(4, 6, 3, dilation=2),
    "depthwise": nn.Conv2d(4, 4, 3, groups=4),
    "reflecting": nn.Conv2d(4, 6, 7, padding=3, padding_mode="reflect"),
    "transposed": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
    "transposed without bias": nn.ConvTranspose2d(4, 6, 2, 2, bias=False),
    "instance norm": nn.InstanceNorm2d(4),
    "affine instance norm": normed(nn.InstanceNorm2d),
    "batch norm": normed(nn.BatchNorm2d),
    "padding": nn.Sequential(nn.ReflectionPad2d((1, 2, 3, 0)), nn.ZeroPad2d((0, 1, 2, 3))),
    "activations": nn.Sequential(nn.ReLU(True), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid(), nn.Dropout(0.9)),
    "slopes": nn.Sequential(nn.PReLU(4, 0.3), nn.PReLU()),
    "pixel shuffle": nn.PixelShuffle(2),
    "nearest": nn.Upsample(scale_factor=2),
    "bilinear": nn.Upsample(size=(16, 20), mode="bilinear"),
    "bicubic": nn.Upsample(scale_factor=3, mode="bicubic"),
    "functions": Functions(),
    "parameter": Scaled(),
    "residual": build(rows_of("dws", 4, 6, 4, 1)),
    **{name: build(upscale_space.rows_of(name, 4, 8, 4, 4, 4), times=2) for name in upscale_space.OPERATORS},
}


def run(graph: bytes, images: Tensor) -> numpy.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return numpy.asarray(session.run(None, {"input": images.numpy()})[0])


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_same_in_onnx_as_in_torch(name: str) -> None:
    net, images = LAYERS[name].eval(), noise(*SHAPE)
    with torch.inference_mode():
        expected = net(images.clone()).numpy()
    graph = onnx_graph(net, SHAPE)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    assert expected.std() > 0
    numpy.testing.assert_allclose(run(graph, images), expected, rtol=1e-4, atol=1e-5)


def test_the_graph_is_the_one_that_users_get_operator_by_operator_and_bit_by_bit(tmp_path) -> None:
    supernet = OnceForAll(space=((4, 6),) * 8, blocks=2).eval()
    net = supernet.extract(supernet.space.largest()).eval()
    file = export_onnx(net, tmp_path / "generator.onnx", height=16, width=24, dynamic=False)
    graph, exported, images = onnx_graph(net, (1, 3, 16, 24)), file.path.read_bytes(), noise(1, 3, 16, 24)
    kinds = [
        Counter(node.op_type for node in onnx.load_from_string(content).graph.node if node.op_type != "Identity")
        for content in (graph, exported)
    ]
    assert kinds[0] == kinds[1]
    assert numpy.array_equal(run(graph, images), run(exported, images))


def test_a_whole_network_with_branches_and_skips_is_translated_too() -> None:
    torch.manual_seed(0)
    supernet = Trellis(Shape(ngf=4)).eval()
    net, images = supernet.extract(supernet.space.largest()).eval(), noise(1, 3, 16, 16)
    with torch.inference_mode():
        expected = net(images).numpy()
    numpy.testing.assert_allclose(run(onnx_graph(net, (1, 3, 16, 16)), images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (nn.GELU(), "GELU"),
        (nn.Conv2d(4, 4, 3, padding="same"), "padding in pixels.*same"),
        (nn.InstanceNorm2d(4, track_running_stats=True), "running statistics"),
        (nn.BatchNorm2d(4, track_running_stats=False), "running statistics"),
        (nn.Upsample(scale_factor=2, mode="area"), "area"),
        (Deciding(), "control flow"),
    ],
)
def test_untranslatable_layers_are_named(net: nn.Module, named: str) -> None:
    with pytest.raises(ExportError, match=named):
        onnx_graph(net, SHAPE)
