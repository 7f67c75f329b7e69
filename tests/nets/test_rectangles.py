"""Every family on images that are no squares: what is counted is what the closed form says."""

import random

import pytest
import torch

from slimgen.cost.count import count
from slimgen.nets import (
    DISCRIMINATORS,
    GENERATORS,
    build_discriminator,
    build_generator,
    discriminator_cost,
    generator_cost,
    noise_length,
)
from slimgen.nets.alphagan.description import PUBLISHED
from slimgen.nets.cf_gan.space import Shape, trellis_space
from slimgen.nets.cf_gan.upscale_space import UpscaleShape
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, space_of
from slimgen.search.genotype import Genotype

TALL, WIDE = (96, 64), (64, 96)


def drawn(space) -> Genotype:
    return space.sample(random.Random(3))


def options_of(family: str, size: tuple[int, int]) -> dict[str, object]:
    noise = {"channels": 4, "latent": 5, "size": size}
    return {
        "resnet": {"ngf": 4, "blocks": 2},
        "mobile_resnet": {"ngf": 4, "blocks": 2},
        "unet": {"ngf": 4, "depth": 5},
        "trellis": {"ngf": 4, "genotype": drawn(trellis_space(Shape(ngf=4)))},
        "upscale_trellis": {"ngf": 4, "scale": 3, "genotype": drawn(UpscaleShape(ngf=4, scale=3).space)},
        "spade": {"ngf": 4, "inputs": 3, "doublings": 5},
        "mobile_spade": {"ngf": 4, "inputs": 3, "doublings": 5},
        "alphagan": {**noise, "genotype": PUBLISHED["alphagan_l"], "interpolation": "learned"},
        "alphagan_s": noise,
        "alphagan_l": noise,
        "sngan": noise,
        "cyclegan_nas": {"hidden": 8, "cells": 2, "genotype": drawn(space_of(GeneratorShape(hidden=8, cells=2)))},
        "srresnet": {"channels": 4, "blocks": 2, "scale": 3},
        "rrdbnet": {"channels": 4, "blocks": 2, "scale": 2},
        "srvgg": {"channels": 4, "blocks": 2, "scale": 4},
    }[family]


@pytest.mark.parametrize("size", [TALL, WIDE])
@pytest.mark.parametrize("family", GENERATORS)
def test_a_generators_cost_equals_the_count_and_it_makes_images_of_its_scale(
    family: str, size: tuple[int, int]
) -> None:
    options = options_of(family, size)
    net, latent = build_generator(family, **options).eval(), noise_length(family, **options)
    given = torch.zeros(1, 3, *size) if latent is None else torch.zeros(1, latent)
    scale = int(str(options.get("scale", 1)))
    assert net(given).shape == (1, 3, *(scale * side for side in size))
    assert generator_cost(family, *size, **options) == count(net, given)


@pytest.mark.parametrize("size", [TALL, WIDE])
@pytest.mark.parametrize("family", DISCRIMINATORS)
def test_the_closed_form_of_a_discriminators_cost_equals_the_count(family: str, size: tuple[int, int]) -> None:
    options = {
        "patchgan": {"inputs": 6, "ndf": 4, "layers": 2},
        "multiscale": {"inputs": 6, "ndf": 4, "layers": 2},
        "sngan": {"channels": 4},
        "cyclegan_nas": {"hidden": 4, "genotype": drawn(space_of(DiscriminatorShape(hidden=4)))},
        "vgg_style": {"ndf": 4},
        "unet_sn": {"ndf": 4},
    }[family]
    net = build_discriminator(family, **options).eval()
    given = torch.zeros(1, int(str(options.get("inputs", 3))), *size)
    assert discriminator_cost(family, *size, **options) == count(net, given)


def test_the_cost_of_a_cut_user_defined_network_equals_the_count_at_any_size() -> None:
    family, options = "examples.own_generator:Squeezer", {"hidden": 8, "blocks": 1}
    net = build_generator(family, **options).eval()
    assert generator_cost(family, *TALL, **options) == count(net, torch.zeros(1, 3, *TALL))
    space = FilterSpace(net, torch.zeros(1, 3, *TALL), family=family, options=options)
    genotype = drawn(space.space)
    cut = space.cut(genotype).eval()
    for size in (TALL, WIDE):
        counted = count(cut, torch.zeros(1, 3, *size))
        assert (space.cost(genotype, *size).exact, space.cost(genotype, *size).params) == (
            counted.exact,
            counted.params,
        )
