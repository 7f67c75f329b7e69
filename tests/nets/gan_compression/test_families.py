"""What a family says in numbers is what its networks are."""

import pytest
import torch

from slimgen.nets import build_generator, generator_cost
from slimgen.nets.gan_compression.families import FAMILIES, alike, searchable

SHAPES = {
    "mobile_resnet": {"blocks": 3, "inputs": 3, "outputs": 3},
    "resnet": {"blocks": 3, "inputs": 3, "outputs": 3},
    "mobile_spade": {"inputs": 5, "outputs": 3, "norm": "instance", "doublings": 5},
    "spade": {"inputs": 5, "outputs": 3, "norm": "batch", "doublings": 5},
}
SPACE = [[2, 3]] * 7 + [[3, 4]]


@pytest.mark.parametrize("name", FAMILIES)
def test_costs_and_tap_channels_are_those_of_the_sub_networks(name):
    kind, shape = searchable(name), SHAPES[name]
    net = kind(name, SPACE, **shape)
    genotype = net.space.largest()
    config = kind.channels.config(genotype)
    assert config == (3, 3, 3, 3, 3, 3, 3, 4)
    options = {**net.options, "config": "_".join(map(str, config))}
    assert kind.channels.parse(options["config"]) == config
    described = kind.described(name, kind.shape_of(options))
    assert described.cost(64, 64, config) == generator_cost(name, 64, 64, **options)
    small = net.extract(genotype).eval()
    assert sum(weight.numel() for weight in small.parameters()) == generator_cost(name, 64, 64, **options).params
    _, features = small.features(torch.zeros(1, shape["inputs"], 64, 64))
    assert kind.described(name, options).tap_channels == [feature.shape[1] for feature in features]
    assert list(net.space) == list(kind.channels.names)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_width_alone_is_eight_times_that_width(name):
    kind, shape = searchable(name), SHAPES[name]
    _, features = build_generator(name, ngf=2, **shape).features(torch.zeros(2, shape["inputs"], 64, 64))
    alone, configured = (kind.described(name, {**shape, **wide}) for wide in ({"ngf": 2}, {"config": [2] * 8}))
    assert alone.tap_channels == [feature.shape[1] for feature in features]
    assert configured.tap_channels == alone.tap_channels


def test_families_are_alike_exactly_where_they_share_a_layout():
    assert alike("spade", "mobile_spade")
    assert alike("mobile_resnet", "resnet")
    assert not alike("spade", "resnet")
    assert not alike("unet", "unet")
