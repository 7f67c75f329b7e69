"""The weights that networks start from, by family."""

import math

import pytest
import torch
from torch import nn

from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.alphagan.description import AlphaShape
from slimgen.nets.alphagan.supernet import AlphaSupernet, NoiseSuperDiscriminator
from slimgen.nets.initial import INITIAL_STD, initialise


def weights(net: nn.Module):
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            own = dict(module.named_parameters(recurse=True))
            yield module, own.get("parametrizations.weight.original", own.get("weight")).detach()


@pytest.mark.parametrize(
    "net",
    [
        build_generator("sngan", channels=32),
        build_generator("alphagan_s", channels=32),
        build_discriminator("sngan", channels=32),
        initialise(AlphaSupernet(AlphaShape(channels=32)), 0),
        initialise(NoiseSuperDiscriminator(channels=32), 0),
    ],
    ids=lambda net: type(net).__name__,
)
def test_networks_of_noise_are_drawn_with_glorots_variances(net):
    for module, weight in weights(net):
        if isinstance(module, nn.Linear):
            meets = module.in_features + module.out_features
        else:
            meets = math.prod(module.kernel_size) * (module.in_channels / module.groups + module.out_channels)
        # The mean square of a sample is within five of its standard errors.
        assert float(weight.square().mean()) * meets / 2 == pytest.approx(1, abs=5 * math.sqrt(2 / weight.numel()))


def test_other_networks_are_drawn_as_pix2pix_draws_them():
    for _, weight in weights(build_generator("resnet", ngf=16, blocks=2)):
        assert float(weight.std()) == pytest.approx(INITIAL_STD, rel=5 / math.sqrt(2 * weight.numel()))


def test_the_signal_keeps_its_scale_through_a_generator_of_noise():
    torch.manual_seed(0)
    images = build_generator("sngan", channels=32)(torch.randn(16, 128))
    assert 0.1 < float(images.detach().std()) < 1
