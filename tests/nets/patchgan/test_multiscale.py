"""The multi-scale discriminator: what its scales see, how their scores are joined, what they cost."""

import random
from math import lcm

import pytest
import torch
from torch import nn
from torch.nn import functional

from slimgen.cost.count import count
from slimgen.cost.formula import total
from slimgen.errors import SlimgenError
from slimgen.nets import build_discriminator, discriminator_cost
from slimgen.nets.patchgan.discriminators import MultiScale, PatchGAN
from slimgen.training.losses import ADVERSARIAL


def test_the_discriminator_of_gaugan_is_two_patchgans_one_at_half_the_size():
    one, half = (PatchGAN.cost(*size, inputs=39, spectral=True) for size in ((256, 512), (128, 256)))
    assert discriminator_cost("multiscale", 256, 512) == total([one, half])


def test_the_closed_form_equals_the_count():
    draw = random.Random(0)
    for _ in range(20):
        options = {
            "inputs": draw.randint(1, 8),
            "ndf": draw.randint(1, 16),
            "layers": draw.randint(1, 3),
            "scales": draw.randint(1, 3),
            "norm": draw.choice(("instance", "batch", "none")),
            "spectral": False,
        }
        least = (3 * 2 ** options["layers"] - 1) * 2 ** (options["scales"] - 1) + 1
        height, width = (least + draw.randint(0, 60) for _ in range(2))
        with torch.device("meta"):
            counted = count(MultiScale(**options), torch.empty(1, options["inputs"], height, width))
        assert MultiScale.cost(height, width, **options) == counted, (options, height, width)


def test_spectral_norm_costs_nothing():
    net = build_discriminator("multiscale", inputs=3, ndf=2)
    assert nn.utils.parametrize.is_parametrized(net.scales[1].model[0], "weight")
    assert count(net, torch.rand(1, 3, 48, 48)) == MultiScale.cost(48, 48, inputs=3, ndf=2)


def test_each_scale_sees_the_average_of_the_one_before():
    net = build_discriminator("multiscale", inputs=2, ndf=2, scales=3).eval()
    x = torch.rand(2, 2, 101, 96)
    found = net.features(x)
    for features, scale in zip(found, net.scales, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(features, scale.features(x), strict=True))
        x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    assert [tuple(features[0].shape[2:]) for features in found] == [(50, 48), (25, 24), (13, 12)]


@pytest.mark.parametrize("name", [name for name, loss in ADVERSARIAL.items() if not loss.relative])
@pytest.mark.parametrize(("size", "scales"), [((64, 64), 2), ((56, 96), 2), ((128, 160), 3)])
def test_every_scale_weighs_the_same_in_every_loss(name, size, scales):
    net = build_discriminator("multiscale", inputs=2, ndf=2, scales=scales).eval()
    with torch.no_grad():
        for scale in net.scales:
            scale.model[-1].bias.add_(torch.randn(1, generator=torch.Generator().manual_seed(3)).item())
        real, fake = (torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
        apart = list(zip(*[[part[-1] for part in net.features(x)] for x in (real, fake)], strict=True))
        loss = ADVERSARIAL[name]
        one = torch.stack([loss.discriminator(*scores) for scores in apart]).mean()
        assert loss.discriminator(net(real), net(fake)).item() == pytest.approx(one.item(), rel=1e-5)
        two = torch.stack([loss.generator(scores) for _, scores in apart]).mean()
        assert loss.generator(net(fake)).item() == pytest.approx(two.item(), rel=1e-5)


def test_scales_without_a_small_common_multiple_weigh_the_same_to_one_percent():
    net = build_discriminator("multiscale", inputs=1, ndf=1, layers=1, scales=2).eval()
    x = torch.rand(1, 1, 98, 106)
    counts = [part[-1][0].numel() for part in net.features(x)]
    assert lcm(*counts) > 64 * max(counts)
    with torch.no_grad():
        scores = net(x)
        of_first = torch.isin(scores, net.features(x)[0][-1].flatten()).double().mean().item()
    assert of_first == pytest.approx(0.5, rel=0.01)
    assert scores.shape[1] < 2.02 * 64 * max(counts)


def test_gradients_of_the_joined_scores_are_those_of_the_scales():
    net = build_discriminator("multiscale", inputs=1, ndf=2).eval()
    x = torch.rand(1, 1, 48, 48, requires_grad=True)
    (joined,) = torch.autograd.grad(net(x).square().mean(), x)
    (apart,) = torch.autograd.grad(sum(part[-1].square().mean() for part in net.features(x)) / 2, x)
    assert torch.allclose(joined, apart, atol=1e-6)
    assert joined.abs().max() > 0


@pytest.mark.parametrize(("layers", "scales"), [(1, 2), (2, 3), (3, 2)])
def test_the_smallest_image_named_is_the_smallest_that_fits(layers, scales):
    net = build_discriminator("multiscale", inputs=1, ndf=1, layers=layers, scales=scales, norm="none")
    least = (3 * 2**layers - 1) * 2 ** (scales - 1) + 1
    assert net.features(torch.rand(1, 1, least, least))[-1][-1].shape == (1, 1, 1, 1)
    for wrong in (
        lambda: net(torch.rand(1, 1, least - 1, least)),
        lambda: net.cost(least - 1, least - 1, layers=layers, scales=scales),
    ):
        with pytest.raises(SlimgenError, match=f"at least {least} pixels a side; got {least - 1} x"):
            wrong()


def test_weights_of_the_scales_differ_and_come_from_the_seed_alone():
    one, same, other = (
        build_discriminator("multiscale", seed=seed, inputs=3, ndf=2).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    name = "model.0.parametrizations.weight.original"
    assert not torch.equal(one[f"scales.0.{name}"], other[f"scales.0.{name}"])
    assert not torch.equal(one[f"scales.0.{name}"], one[f"scales.1.{name}"])


def test_an_option_out_of_range_is_refused():
    with pytest.raises(SlimgenError, match="at least 1; got inputs=39, ndf=64, layers=3, scales=0"):
        MultiScale(scales=0)
    with pytest.raises(SlimgenError, match="known norm; got 'layer'"):
        MultiScale.cost(256, 256, norm="layer")


def test_scores_of_features_are_the_scores_of_the_images():
    x = torch.randn(2, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    nets = (
        build_discriminator("multiscale", inputs=5, ndf=4, layers=2),
        build_discriminator("patchgan", inputs=5, ndf=4),
    )
    for net in nets:
        assert torch.equal(net.eval().scores(net.features(x)), net(x))
