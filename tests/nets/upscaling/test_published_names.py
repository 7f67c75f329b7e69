"""Published upscalers, written here once more as formulas over their files: what is imported computes the same."""

import pytest
import torch
from torch.nn.functional import conv2d, interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle, prelu, relu

from slimgen.errors import CheckpointError
from slimgen.nets import build_generator
from slimgen.nets.checkpoints.choosing import import_weights
from slimgen.nets.checkpoints.reading import read_generator

SCHEMES = {
    "BasicSR": ("conv_first", "body.{}.rdb{}.conv{}", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"),
    "ESRGAN": (
        *("conv_first", "RRDB_trunk.{}.RDB{}.conv{}", "trunk_conv"),
        *("upconv1", "upconv2", "HRconv", "conv_last"),
    ),
    "ESRGAN, first files": (
        *("model.0", "model.1.sub.{}.RDB{}.conv{}.0", "model.1.sub.{}"),
        *("model.3", "model.6", "model.8", "model.10"),
    ),
}
CHANNELS, GROWTH, BLOCKS = 6, 4, 2


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape) / (9 * shape[1] if len(shape) > 1 else 1) ** 0.5


def conv(found: dict[str, torch.Tensor], name: str, inputs: int, outputs: int) -> None:
    found[f"{name}.weight"], found[f"{name}.bias"] = drawn(outputs, inputs, 3, 3), 0.1 * drawn(outputs)


def esrgan_file(scheme: str, scale: int = 4, blocks: int = BLOCKS) -> dict[str, torch.Tensor]:
    """The state dict of an RRDBNet under the names of a scheme, with drawn weights."""
    torch.manual_seed(1)
    first, dense, trunk, *rest = SCHEMES[scheme]
    found: dict[str, torch.Tensor] = {}
    conv(found, first, 3 * (4 // scale) ** 2, CHANNELS)
    for place in ((block, step, number) for block in range(blocks) for step in (1, 2, 3) for number in range(1, 6)):
        before = CHANNELS + (place[2] - 1) * GROWTH
        conv(found, dense.format(*place), before, CHANNELS if place[2] == 5 else GROWTH)
    for name in (trunk.format(blocks), *rest):
        conv(found, name, CHANNELS, 3 if name == rest[-1] else CHANNELS)
    return found


def esrgan(weights: dict[str, torch.Tensor], scheme: str, images: torch.Tensor, scale: int = 4) -> torch.Tensor:
    """ESRGAN's formula for images in [0, 1] (Wang et al. 2018, Figure 4)."""
    first, dense, trunk, up1, up2, high, last = SCHEMES[scheme]

    def through(name: str, x: torch.Tensor) -> torch.Tensor:
        return conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    start = through(first, images if scale == 4 else pixel_unshuffle(images, 4 // scale))
    out = start
    for block in range(BLOCKS):
        before_block = out
        for step in (1, 2, 3):
            features = [out]
            for number in range(1, 5):
                made = through(dense.format(block, step, number), torch.cat(features, 1))
                features.append(leaky_relu(made, 0.2))
            out = through(dense.format(block, step, 5), torch.cat(features, 1)) * 0.2 + out
        out = out * 0.2 + before_block
    out = start + through(trunk.format(BLOCKS), out)
    for name in (up1, up2):
        out = leaky_relu(through(name, interpolate(out, scale_factor=2, mode="nearest")), 0.2)
    return through(last, leaky_relu(through(high, out), 0.2))


OPTIONS = {"channels": CHANNELS, "growth": GROWTH, "blocks": BLOCKS}
WRAPPERS = {
    "plain": lambda state: state,
    "params_ema": lambda state: {"params_ema": state},
    "both": lambda state: {"params": {n: 2 * t for n, t in state.items()}, "params_ema": state},
    "prefixed": lambda state: {"state_dict": {f"netG.module.{name}": tensor for name, tensor in state.items()}},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("scheme", SCHEMES)
@torch.no_grad()
def test_an_rrdbnet_of_each_naming_is_imported_exactly(scheme, wrapper, tmp_path):
    weights, images = esrgan_file(scheme), torch.rand(2, 3, 5, 7)
    torch.save(WRAPPERS[wrapper](weights), tmp_path / "net.pth")
    net = build_generator("rrdbnet", **OPTIONS).eval()
    import_weights(net, tmp_path / "net.pth")
    assert read_generator(tmp_path / "net.pth") == {"family": "rrdbnet", "scale": 4, **OPTIONS}
    made = net(2 * images - 1)
    assert made.shape == (2, 3, 20, 28)
    assert torch.equal(made, 2 * esrgan(weights, scheme, (2 * images - 1 + 1) / 2) - 1)
    assert float(made.std()) > 0.1
    assert sorted(float(t.sum()) for t in net.state_dict().values()) == sorted(float(t.sum()) for t in weights.values())


@pytest.mark.parametrize("scale", [1, 2])
@torch.no_grad()
def test_an_rrdbnet_that_begins_with_a_pixel_unshuffle_is_imported_exactly(scale, tmp_path):
    weights, images = esrgan_file("BasicSR", scale), torch.rand(1, 3, 8, 12)
    torch.save({"params_ema": weights}, tmp_path / "net.pth")
    net = build_generator("rrdbnet", scale=scale, **OPTIONS).eval()
    import_weights(net, tmp_path / "net.pth")
    assert read_generator(tmp_path / "net.pth") == {"family": "rrdbnet", "scale": scale, **OPTIONS}
    expected = esrgan(weights, "BasicSR", (2 * images - 1 + 1) / 2, scale)
    assert expected.shape == (1, 3, 8 * scale, 12 * scale)
    assert torch.equal(net(2 * images - 1), 2 * expected - 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 3}, "got 2 residual blocks; blocks 3 expected, 2 found"),
        ({"channels": 8}, "base width (ngf, ndf or channels) 8 expected, 6 found"),
        ({"scale": 2}, "got input channels 3 in conv_first.weight; set scale: 4"),
        ({"growth": 5}, "another shape of body.0.rdb1.conv1.weight"),
    ],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_does_not_fit_is_told_by_its_first_difference_in_every_naming(scheme, options, message, tmp_path):
    torch.save(esrgan_file(scheme), tmp_path / "net.pth")
    with pytest.raises(CheckpointError) as caught:
        import_weights(build_generator("rrdbnet", **{**OPTIONS, **options}), tmp_path / "net.pth")
    assert message in str(caught.value)


def test_files_of_an_rrdbnet_with_one_enlargement_are_refused(tmp_path):
    weights = esrgan_file("ESRGAN, first files")
    moved = {"model.6": None, "model.8": "model.5", "model.10": "model.7"}
    found = {}
    for name, tensor in weights.items():
        layer, _, leaf = name.rpartition(".")
        if moved.get(layer, layer) is not None:
            found[f"{moved.get(layer, layer)}.{leaf}"] = tensor
    torch.save(found, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="must hold the weights of the same network; got no conv_up2"):
        import_weights(build_generator("rrdbnet", **OPTIONS), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="must hold a generator of a family that can be read"):
        read_generator(tmp_path / "net.pth")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.no_grad()
def test_an_srresnet_is_imported_exactly(scale, old, tmp_path):
    torch.manual_seed(2)
    body, high = ("recon_trunk", "HRconv") if old else ("body", "conv_hr")
    weights: dict[str, torch.Tensor] = {}
    conv(weights, "conv_first", 3, 6)
    for name in (f"{body}.{block}.conv{number}" for block in (0, 1) for number in (1, 2)):
        conv(weights, name, 6, 6)
    factors = [2, 2] if scale == 4 else [scale]
    for number, factor in enumerate(factors, 1):
        conv(weights, f"upconv{number}", 6, 6 * factor**2)
    conv(weights, high, 6, 6)
    conv(weights, "conv_last", 6, 3)
    torch.save({"params": weights}, tmp_path / "net.pth")
    options = {"channels": 6, "blocks": 2, "scale": scale}
    assert read_generator(tmp_path / "net.pth") == {"family": "srresnet", **options}
    net = build_generator("srresnet", **options).eval()
    import_weights(net, tmp_path / "net.pth")

    def through(name: str, x: torch.Tensor) -> torch.Tensor:
        return conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    images = (torch.rand(2, 3, 5, 7) * 2 - 1).add(1) / 2
    out = leaky_relu(through("conv_first", images), 0.1)
    for block in (0, 1):
        out = out + through(f"{body}.{block}.conv2", relu(through(f"{body}.{block}.conv1", out)))
    for number, factor in enumerate(factors, 1):
        out = leaky_relu(pixel_shuffle(through(f"upconv{number}", out), factor), 0.1)
    out = through("conv_last", leaky_relu(through(high, out), 0.1))
    out = out + interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    assert torch.allclose(net(2 * images - 1), 2 * out - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@torch.no_grad()
def test_an_srvgg_is_imported_exactly(scale, tmp_path):
    torch.manual_seed(3)
    weights: dict[str, torch.Tensor] = {}
    for number in range(4):
        conv(weights, f"body.{2 * number}", 6 if number else 3, 6 if number < 3 else 3 * scale**2)
        if number < 3:
            weights[f"body.{2 * number + 1}.weight"] = torch.rand(6)
    torch.save({"params": weights}, tmp_path / "net.pth")
    options = {"channels": 6, "blocks": 2, "scale": scale}
    assert read_generator(tmp_path / "net.pth") == {"family": "srvgg", **options}
    net = build_generator("srvgg", **options).eval()
    import_weights(net, tmp_path / "net.pth")
    images = (torch.rand(2, 3, 5, 7) * 2 - 1).add(1) / 2
    out = images
    for number in range(4):
        out = conv2d(out, weights[f"body.{2 * number}.weight"], weights[f"body.{2 * number}.bias"], padding=1)
        if number < 3:
            out = prelu(out, weights[f"body.{2 * number + 1}.weight"])
    out = pixel_shuffle(out, scale) + interpolate(images, scale_factor=scale, mode="nearest")
    assert torch.allclose(net(2 * images - 1), 2 * out - 1, rtol=0, atol=1e-6)
