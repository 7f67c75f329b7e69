"""Generators that others published, written by hand from their description: on drawn weights, and on the real ones."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch.nn import functional

from slimgen.export.onnx import export_onnx, parity
from slimgen.metrics.psnr import psnr
from slimgen.nets.checkpoints.choosing import import_weights
from slimgen.tasks.single import resized, smaller

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
SRGAN, STYLE, SET5 = (
    SHARED / "weights" / "srgan_netG_epoch_4_100.pth",
    SHARED / "weights" / "ml5_la_muse",
    SHARED / "set5",
)
needs_weights = pytest.mark.skipif(not SRGAN.is_file(), reason=f"the published weights are not at {SHARED}")


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def srgan():
    return example("srgan")


@pytest.fixture(scope="module")
def style():
    return example("style")


def pictures(side, count=1):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_srgan_makes_pictures_four_times_as_large(srgan):
    net = srgan.Srgan(channels=4, blocks=2).eval()
    assert net(pictures(8)).shape == (1, 3, 32, 32)
    names = [name.partition(".")[0] for name in net.state_dict()]
    assert list(dict.fromkeys(names)) == [f"block{number}" for number in range(1, 6)]


@pytest.mark.parametrize("side", [8, 12])
def test_convolutions_are_padded_as_tensorflow_pads_them(style, side):
    """Of an even size, a halving sees one pixel more at the end; a doubling is the gradient of that halving."""
    halve, double = style.Normed(2, 3, 3, 2), style.Normed(3, 2, 3, -2)
    with torch.no_grad():
        halve.conv.weight.copy_(torch.randn(halve.conv.weight.shape))
        double.conv.weight.copy_(halve.conv.weight)
    x = torch.randn(1, 2, side, side, requires_grad=True)
    padded = functional.pad(x, (0, 1, 0, 1))
    expected = torch.stack([
        torch.stack([
            torch.einsum("oihw,ihw->o", halve.conv.weight, padded[0, :, 2 * row : 2 * row + 3, 2 * col : 2 * col + 3])
            for col in range(side // 2)
        ])
        for row in range(side // 2)
    ]).permute(2, 0, 1)[None]  # fmt: skip
    plain = torch.nn.Identity()
    halve.norm = double.norm = plain
    halve.relu = double.relu = False
    made = halve(x)
    assert torch.allclose(made, expected, atol=1e-5)
    back = torch.randn_like(made)
    (gradient,) = torch.autograd.grad(made, x, back)
    assert torch.allclose(double(back), gradient, atol=1e-5)


def test_raw_arrays_become_the_weights_of_the_network_in_its_own_order(style, tmp_path):
    """Every array holds its own number, but for kernels of which one entry is told apart."""
    net, manifest, number = style.Style(), {}, 0
    for module in net.modules():
        if isinstance(module, style.Normed):
            shape = list(module.conv.weight.permute(2, 3, 1, 0).shape)
            for which in (shape, [module.norm.num_features], [module.norm.num_features]):
                values = np.full(which, number, "<f4")
                if len(which) == 4:
                    values[0, 1, 2, 0] = -1  # of a dense convolution: row 0, column 1, input 2, output 0
                name = f"Variable_{number}" if number else "Variable"
                manifest[name] = {"filename": name, "shape": which}
                values.tofile(tmp_path / name)
                number += 1
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    found = style.converted(tmp_path)
    net.load_state_dict(found)
    first, last = net.layers[0], net.layers[-1]
    assert first.conv.weight[0, 2, 0, 1] == -1
    assert net.layers[-2].conv.weight[0, 2, 0, 1] == -1
    assert (first.norm.bias.unique(), first.norm.weight.unique()) == (torch.tensor([1.0]), torch.tensor([2.0]))
    assert (last.norm.bias.unique(), last.norm.weight.unique()) == (torch.tensor([46.0]), torch.tensor([47.0]))
    (tmp_path / "Variable_1").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"Variable_1 must hold \[32\] numbers, not 1"):
        style.converted(tmp_path)


@needs_weights
def test_the_published_srgan_enlarges_better_than_bicubic_and_the_same_in_onnxruntime(srgan, tmp_path):
    net = srgan.Srgan()
    import_weights(net.eval(), SRGAN)
    real = np.asarray(Image.open(SET5 / "HR" / "img_003.png").convert("RGB"), np.float32)[:64, :64]
    real = torch.from_numpy(real / 127.5 - 1).permute(2, 0, 1)[None]
    given = smaller(real, 4)
    with torch.no_grad():
        made = net(given)
    assert psnr(made, real) > psnr(resized(given, 4), real) + 1
    file = export_onnx(net, tmp_path / "srgan.onnx", height=16, width=16, dynamic=False)
    assert parity(net, file.path, given).max_abs < 1e-4


@needs_weights
def test_the_published_style_is_the_same_in_onnxruntime_and_paints_over_the_picture(style, tmp_path):
    net = style.Style().eval()
    net.load_state_dict(style.converted(STYLE))
    file = export_onnx(net, tmp_path / "style.onnx", height=32, width=32, dynamic=False)
    given = pictures(32)
    assert parity(net, file.path, given).max_abs < 1e-3
    session = onnxruntime.InferenceSession(file.path)
    made = session.run(None, {"input": given.numpy()})[0]
    assert np.abs(made).max() <= 150 / 127.5 + 1e-6
    assert made.std() > 0.2
    assert np.abs(made - given.numpy()).mean() > 0.2
