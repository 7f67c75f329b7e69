import random

import pytest
import torch

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_discriminator, discriminator_cost
from slimgen.nets.patchgan.discriminators import PatchGAN


@pytest.mark.parametrize(
    ("inputs", "ndf", "params", "macs"), [(6, 128, 11_040_641, 12_572_491_776), (3, 64, 2_764_737, 3_146_809_344)]
)
def test_the_discriminators_of_pix2pix_and_cyclegan_have_their_known_costs(inputs, ndf, params, macs):
    cost = discriminator_cost("patchgan", 256, 256, inputs=inputs, ndf=ndf)
    assert (cost.params, cost.torchprofile) == (params, macs)
    with torch.device("meta"):
        assert count(PatchGAN(inputs=inputs, ndf=ndf), torch.empty(1, inputs, 256, 256)) == cost


def test_the_closed_form_equals_the_count():
    draw = random.Random(0)
    for _ in range(30):
        options = {
            "inputs": draw.randint(1, 8),
            "ndf": draw.randint(1, 64),
            "layers": draw.randint(1, 5),
            "norm": draw.choice(("instance", "batch", "none")),
            "spectral": draw.choice((True, False)),
        }
        height, width = (3 * 2 ** options["layers"] + draw.randint(0, 100) for _ in range(2))
        with torch.device("meta"):
            counted = count(PatchGAN(**options), torch.empty(1, options["inputs"], height, width))
        assert PatchGAN.cost(height, width, **options) == counted, (options, height, width)


@pytest.mark.parametrize(("norm", "biased"), [("instance", True), ("batch", False)])
def test_the_names_are_those_of_published_checkpoints(norm, biased):
    names = list(PatchGAN(ndf=2, norm=norm).state_dict())
    assert {f"model.{at}.weight" for at in (0, 2, 5, 8, 11)} <= set(names)
    assert ("model.2.bias" in names, "model.0.bias" in names, "model.11.bias" in names) == (biased, True, True)
    assert ("model.3.running_var" in names) is not biased


def test_each_logit_sees_seventy_pixels_a_side():
    net = build_discriminator("patchgan", inputs=1, ndf=2, norm="none")
    x = torch.zeros(1, 1, 128, 128, requires_grad=True)
    net(x)[0, 0, 7, 7].backward()
    rows = x.grad[0, 0].abs().sum(dim=1).nonzero()
    assert rows.max() - rows.min() + 1 == 70


def test_features_end_with_the_logits():
    net = build_discriminator("patchgan", inputs=3, ndf=4)
    x = torch.rand(2, 3, 64, 64)
    features = net.features(x)
    assert [tuple(f.shape[1:]) for f in features] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 7, 7), (1, 6, 6)]
    assert torch.equal(features[-1], net(x))
    assert all((f < 0).any() and (f > 0).any() for f in features[:-1])  # leaky: nothing is cut off


@pytest.mark.parametrize("layers", range(1, 6))
def test_the_smallest_image_named_is_the_smallest_that_fits(layers):
    net = build_discriminator("patchgan", inputs=1, ndf=2, layers=layers)
    side = 3 * 2**layers
    assert net(torch.rand(1, 1, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises(SlimgenError, match=f"at least {side} pixels a side; got {side - 1} x {side}"):
        net(torch.rand(1, 1, side - 1, side))


def test_small_images_are_refused_with_the_layers_that_would_fit():
    with pytest.raises(SlimgenError, match=r"with 3 layers must have at least 24 pixels.* use layers=2"):
        PatchGAN.cost(16, 16)
    assert PatchGAN(ndf=2, layers=2)(torch.rand(1, 6, 16, 16)).shape == (1, 1, 2, 2)


def test_spectral_norm_brings_every_weight_to_a_norm_of_one():
    net = build_discriminator("patchgan", seed=3, inputs=3, ndf=4, spectral=True, norm="none").eval()
    for layer in net.model:
        if isinstance(layer, torch.nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.15)


def test_spectral_norm_too_starts_from_the_seed_alone():
    one, same, other = (build_discriminator("patchgan", seed=s, ndf=2, spectral=True).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.0.parametrizations.weight.0._u"], other["model.0.parametrizations.weight.0._u"])


def test_an_option_out_of_range_is_refused():
    with pytest.raises(SlimgenError, match="known norm; got 'layer'"):
        PatchGAN(norm="layer")
    with pytest.raises(SlimgenError, match="at least 1; got inputs=6, ndf=64, layers=0"):
        PatchGAN(layers=0)
