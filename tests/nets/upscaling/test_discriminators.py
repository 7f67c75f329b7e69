"""The discriminators of SRGAN and of Real-ESRGAN, against formulas over files with BasicSR's names."""

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, interpolate, leaky_relu, linear
from torch.nn.utils import spectral_norm as older_spectral_norm

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_discriminator, discriminator_cost
from slimgen.nets.checkpoints.choosing import import_weights


@pytest.mark.parametrize(
    ("family", "options", "params"),
    [
        # As BasicSR's log tells of its own for patches of 128 pixels.
        ("vgg_style", {}, 14_499_401),
        ("unet_sn", {}, 4_376_897),
    ],
)
def test_they_have_the_parameters_of_the_published_ones(family, options, params):
    assert discriminator_cost(family, 128, 128, **options).params == params


@pytest.mark.parametrize("size", [(32, 32), (40, 72), (96, 33)])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        *(("vgg_style", {"ndf": 3, "inputs": inputs, "halvings": halvings}) for inputs, halvings in ((3, 5), (1, 2))),
        *(("unet_sn", {"ndf": 3, "skips": skips}) for skips in (True, False)),
    ],
)
def test_the_closed_form_equals_the_count(family, options, size):
    if family == "unet_sn":
        size = (size[0], size[1] // 8 * 8)
    net = build_discriminator(family, **options)
    images = torch.rand(2, options.get("inputs", 3), *size)
    assert discriminator_cost(family, *size, **options) == count(net, images[:1])
    features = net.eval().features(images)
    assert torch.equal(features[-1], net(images))
    assert features[-1].shape == ((2, 1) if family == "vgg_style" else (2, 1, *size))
    assert all((one < 0).any() and (one > 0).any() for one in features[:-1])


def drawn(shapes):
    torch.manual_seed(0)
    return {name: torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5 for name, shape in shapes.items()}


@torch.no_grad()
def test_a_published_vgg_style_discriminator_computes_the_same_on_its_patches(tmp_path):
    ndf, shapes = 2, {"conv0_0.weight": (2, 3, 3, 3), "conv0_0.bias": (2,), "conv0_1.weight": (2, 2, 4, 4)}
    widths = [ndf * min(2**level, 8) for level in range(5)]
    for level in range(1, 5):
        shapes[f"conv{level}_0.weight"] = (widths[level], widths[level - 1], 3, 3)
        shapes[f"conv{level}_1.weight"] = (widths[level], widths[level], 4, 4)
    norms = {name[4:7]: shape[0] for name, shape in shapes.items() if name.endswith("weight") and name[4:7] != "0_0"}
    for place, width in norms.items():
        shapes |= {f"bn{place}.{leaf}": (width,) for leaf in ("weight", "bias", "running_mean")}
    shapes |= {"linear1.weight": (100, 16 * widths[-1]), "linear1.bias": (100,)}
    weights = drawn({**shapes, "linear2.weight": (1, 100), "linear2.bias": (1,)})
    weights |= {f"bn{place}.running_var": torch.rand(width) + 0.5 for place, width in norms.items()}
    weights |= {f"bn{place}.num_batches_tracked": torch.tensor(3) for place in norms}
    torch.save({"params": weights}, tmp_path / "net.pth")
    net = build_discriminator("vgg_style", ndf=ndf).eval()
    import_weights(net, tmp_path / "net.pth")

    def normed(place, x):
        mean, variance = weights[f"bn{place}.running_mean"], weights[f"bn{place}.running_var"]
        return leaky_relu(batch_norm(x, mean, variance, weights[f"bn{place}.weight"], weights[f"bn{place}.bias"]), 0.2)

    images = torch.rand(2, 3, 128, 128) * 2 - 1
    out = leaky_relu(conv2d(images, weights["conv0_0.weight"], weights["conv0_0.bias"], padding=1), 0.2)
    for place in norms:
        stride = 2 if place.endswith("1") else 1
        out = normed(place, conv2d(out, weights[f"conv{place}.weight"], stride=stride, padding=1))
    assert out.shape[2:] == (4, 4)
    hidden = leaky_relu(linear(out.flatten(1), weights["linear1.weight"], weights["linear1.bias"]), 0.2)
    expected = linear(hidden, weights["linear2.weight"], weights["linear2.bias"])
    assert torch.allclose(net(images), expected, atol=1e-5)


class Published(nn.Module):
    """A U-Net discriminator with the older spectral norm, under BasicSR's names."""

    def __init__(self, ndf):
        super().__init__()
        halving = {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}
        same = {"kernel_size": 3, "padding": 1, "bias": False}
        self.conv0, self.conv9 = nn.Conv2d(3, ndf, 3, padding=1), nn.Conv2d(ndf, 1, 3, padding=1)
        sides = [(1, 2, halving), (2, 4, halving), (4, 8, halving), (8, 4, same), (4, 2, same), (2, 1, same)]
        for number, (before, after, window) in enumerate([*sides, (1, 1, same), (1, 1, same)], start=1):
            self.add_module(f"conv{number}", older_spectral_norm(nn.Conv2d(before * ndf, after * ndf, **window)))

    def forward(self, x):
        def through(number, x):
            return leaky_relu(getattr(self, f"conv{number}")(x), 0.2)

        def up(x):
            return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

        x0 = through(0, x)
        x1 = through(1, x0)
        x2 = through(2, x1)
        x3 = through(3, x2)
        x4 = through(4, up(x3)) + x2
        x5 = through(5, up(x4)) + x1
        x6 = through(6, up(x5)) + x0
        return self.conv9(through(8, through(7, x6)))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*|.*spectral_norm.*:FutureWarning")
@torch.no_grad()
def test_a_published_u_net_with_older_spectral_norms_computes_the_same(tmp_path):
    torch.manual_seed(0)
    published, images = Published(3), torch.rand(2, 3, 16, 24) * 2 - 1
    published(images)  # a step of the power iteration
    published.eval()
    torch.save({"params": published.state_dict()}, tmp_path / "net.pth")
    net = build_discriminator("unet_sn", ndf=3).eval()
    import_weights(net, tmp_path / "net.pth")
    assert torch.allclose(net(images), published(images), atol=1e-5)


def test_sizes_and_options_out_of_range_are_refused():
    with pytest.raises(SlimgenError, match="with 5 halvings must have at least 32 pixels a side"):
        discriminator_cost("vgg_style", 64, 31)
    with pytest.raises(SlimgenError, match="U-Net discriminator must be multiples of 8 pixels; got 64 x 31"):
        discriminator_cost("unet_sn", 64, 31)
    for family, options in (("vgg_style", {"ndf": 0}), ("unet_sn", {"inputs": 0}), ("vgg_style", {"halvings": 0})):
        with pytest.raises(SlimgenError, match="must be at least 1"):
            discriminator_cost(family, 64, 64, **options)
