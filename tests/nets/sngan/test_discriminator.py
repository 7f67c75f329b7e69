import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_discriminator, discriminator_cost
from slimgen.nets.alphagan.supernet import NoiseSuperDiscriminator
from slimgen.nets.initial import initialise
from slimgen.nets.relaxation import Relaxation
from slimgen.nets.sngan.discriminator import SN_GAN, SPACE, NoiseDiscriminator
from slimgen.nets.supernet import Gates


def images(size: int = 16) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [32, 48])
def test_the_cost_in_closed_form_is_the_counted_one(size: int) -> None:
    net = build_discriminator("sngan")
    assert discriminator_cost("sngan", size, size) == count(net, torch.randn(1, 3, size, size))


def test_the_discriminator_by_hand_has_nine_convolutions_and_a_score() -> None:
    # 3x3: one from 3 channels and seven from 128; 1x1: one from 3 and one from 128; the score has no bias.
    expected = 128 * 27 + 7 * 128 * 1152 + 8 * 128 + 128 * 3 + 128 * 128 + 2 * 128 + 128
    assert discriminator_cost("sngan", 32, 32).params == expected


def test_it_is_one_score_for_each_image_however_large() -> None:
    net = build_discriminator("sngan", channels=8).eval()
    assert net(images(16)).shape == net(images(32)).shape == (2, 1)
    assert torch.allclose(net(images())[:1], net(images()[:1]), atol=1e-5)


def test_the_discriminator_by_hand_is_sn_gans() -> None:
    net = build_discriminator("sngan", channels=5).eval()
    x = images(8)

    def conv(name: str, features: torch.Tensor) -> torch.Tensor:
        layer = net.operations[name][1]
        return functional.conv2d(features, layer.weight, layer.bias, padding=1)

    def shortcut(block: str, features: torch.Tensor) -> torch.Tensor:
        layer = net.shortcuts[block]
        return functional.conv2d(features, layer.weight, layer.bias)

    relu, halved = torch.relu, functional.avg_pool2d
    # The first block begins with the convolution; two blocks halve the size; scores are of sums over all pixels.
    one = halved(conv("block1_op2", relu(conv("block1_op1", x))), 2) + halved(shortcut("block1", x), 2)
    two = halved(conv("block2_op2", relu(conv("block2_op1", relu(one)))), 2) + halved(shortcut("block2", one), 2)
    three = two + conv("block3_op2", relu(conv("block3_op1", relu(two))))
    four = three + conv("block4_op2", relu(conv("block4_op1", relu(three))))
    scores = relu(four).sum((2, 3)) @ net.score.weight.T
    assert torch.allclose(net(x), scores, rtol=1e-4, atol=1e-5)


def test_every_layer_is_spectrally_normal() -> None:
    net = build_discriminator("sngan", channels=8).eval()
    layers = [module for module in net.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 11
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_the_space_of_table_3_has_two_operations_in_each_block() -> None:
    assert SPACE.size == 3 * 6**7


def test_the_superdiscriminator_at_a_genotype_and_at_its_corner_is_the_extracted_one() -> None:
    net = initialise(NoiseSuperDiscriminator(channels=6), 0).eval()
    rng = random.Random(0)
    for genotype in (SN_GAN, SPACE.largest(), SPACE.smallest(), SPACE.sample(rng), SPACE.sample(rng)):
        alone = net.extract(genotype)
        scores = alone(images())
        assert scores.std() > 0
        assert torch.allclose(net(images(), genotype), scores, atol=1e-5)
        assert torch.allclose(net(images(), Gates.corner(net.space, genotype)), scores, atol=1e-5)
        assert net.cost(genotype, 16, 16) == count(alone, images()[:1])


def test_recomputing_leaves_gradients_and_singular_vectors_alone() -> None:
    found = []
    for recompute in (False, True):
        net = initialise(NoiseSuperDiscriminator(channels=6, recompute=recompute), 0)
        relaxation = Relaxation(net.space, seed=0)
        net(images(), relaxation.gates(0)).sum().backward()
        gradients = [p.grad for part in (relaxation, net) for p in part.parameters()]
        found.append([*gradients, *net.buffers()])
    for kept, again in zip(*found, strict=True):
        assert torch.allclose(kept, again, atol=1e-6)


def test_the_first_convolution_sees_dark_pixels_too() -> None:
    net = NoiseDiscriminator(channels=4).eval()
    assert not torch.allclose(net(torch.full((1, 3, 8, 8), -1.0)), net(torch.full((1, 3, 8, 8), -0.5)))


def test_images_that_are_too_small_and_options_out_of_range_are_refused() -> None:
    with pytest.raises(SlimgenError, match="at least 4 pixels"):
        discriminator_cost("sngan", 2, 32)
    with pytest.raises(SlimgenError, match="at least 1"):
        build_discriminator("sngan", channels=0)
