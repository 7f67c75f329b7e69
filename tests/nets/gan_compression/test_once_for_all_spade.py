"""The once-for-all network of GauGAN: its spaces, its slices, what trains them, what they cost."""

import copy
import random

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import update_bn

from slimgen.cost.count import count
from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.gan_compression.once_for_all_spade import OnceForAllSpade
from slimgen.nets.initial import initialise
from slimgen.nets.spade.description import CHANNELS
from slimgen.search.genotype import Genotype

SMALL = [[2, 3], [1, 3], [2, 4], [2, 3], [1, 2], [2, 3], [1, 3], [1, 2, 4]]
KINDS = [("mobile_spade", "batch"), ("mobile_spade", "instance"), ("spade", "batch")]


def supernet(family: str = "mobile_spade", norm: str = "batch", seed: int = 0) -> OnceForAllSpade:
    return initialise(OnceForAllSpade(family, SMALL, inputs=4, norm=norm, doublings=5), seed)


def maps(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 4, 32, 64, generator=torch.Generator().manual_seed(seed))


def samples(net: OnceForAllSpade, number: int) -> list[Genotype]:
    rng = random.Random(0)
    return [net.space.largest(), net.space.smallest(), *(net.space.sample(rng) for _ in range(number))]


def test_the_authors_spaces_have_their_sizes():
    assert {name: CHANNELS.space(name).size for name in CHANNELS.spaces} == {
        "channels-48-spade": 15_552,
        "channels-64-spade": 128_000,
    }


@pytest.mark.parametrize(("family", "norm"), KINDS)
def test_supernet_equals_its_extraction(family, norm):
    net = supernet(family, norm)
    with torch.no_grad():
        for genotype in samples(net, 4):
            net(maps(2), genotype)  # in training: running statistics move
        for genotype in samples(net.eval(), 12):
            image, taps = net.features(maps(), genotype)
            alone, inside = net.extract(genotype).eval().features(maps())
            assert (image - alone).abs().max() < 1e-5
            assert torch.equal(net(maps(), genotype), image)
            assert all((one - two).abs().max() < 1e-4 for one, two in zip(taps, inside, strict=True))
    assert [tap.shape[1] for tap in net.features(maps(), net.space.largest())[1]] == [48, 48, 12]


@pytest.mark.parametrize(("family", "norm"), KINDS)
def test_closed_form_cost_equals_the_count(family, norm):
    net = supernet(family, norm)
    for genotype in samples(net, 12):
        small = net.extract(genotype)
        assert net.cost(genotype, 32, 64) == count(small, maps()[:1])
        assert net.cost(genotype, 32, 64).params == sum(parameter.numel() for parameter in small.parameters())


def test_columns_of_configurations_have_the_costs_of_single_ones():
    net = OnceForAllSpade(space="channels-48-spade")
    rng = random.Random(0)
    drawn = [net.space.sample(rng) for _ in range(40)]
    columns = {name: np.array([genotype[name] for genotype in drawn]) for name in CHANNELS.names}
    together = net.description.cost(256, 512, [columns[name] for name in net.channels.names])
    for row, genotype in enumerate(drawn):
        assert tuple(column[row] for column in together) == net.cost(genotype, 256, 512)


def test_published_compressed_generator_is_a_point_of_the_space():
    with torch.device("meta"):
        net = OnceForAllSpade()
    genotype = CHANNELS.genotype((32, 32, 48, 32, 32, 32, 32, 24))
    net.space.check(genotype)
    assert CHANNELS.config(genotype) == (32, 32, 48, 32, 32, 32, 32, 24)
    assert net.cost(genotype, 256, 512).gan_compression == 31_701_762_048


def test_weights_are_those_of_the_largest_generator_under_its_names():
    net = supernet()
    largest = build_generator(
        "mobile_spade", seed=5, inputs=4, doublings=5, config=CHANNELS.config(net.space.largest())
    )
    net.load_state_dict(largest.state_dict())
    assert torch.equal(net.eval()(maps(), net.space.largest()), largest.eval()(maps()))


def test_extracted_network_keeps_first_channels_and_shares_nothing():
    net = supernet()
    genotype = net.space.smallest()
    state = torch.get_rng_state()
    small = net.extract(genotype)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(small.up_0.conv_0.weight, net.up_0.conv_0.weight[:8, :32])
    assert torch.equal(small.up_0.norm_0.mlp_gamma.conv[0].weight, net.up_0.norm_0.mlp_gamma.conv[0].weight[:2])
    own = {tensor.data_ptr() for tensor in net.state_dict().values()}
    assert own.isdisjoint(tensor.data_ptr() for tensor in small.state_dict().values())
    again = build_generator("mobile_spade", inputs=4, doublings=5, config=CHANNELS.config(genotype))
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()(maps()), small.eval()(maps()))
    options = {"inputs": 4, "doublings": 5, "config": CHANNELS.config(genotype)}
    assert generator_cost("mobile_spade", 32, 64, **options) == net.cost(genotype, 32, 64)


def test_training_a_configuration_moves_its_channels_alone():
    net = supernet()
    genotype = net.space.smallest()
    statistics = net.G_middle_0.norm_1.param_free_norm
    net(maps(), genotype).square().mean().backward()
    moved = net.G_middle_0.conv_0.weight.grad.abs().sum((2, 3)) > 0
    assert moved[:32, :32].all()
    assert moved.sum() == 32 * 32
    assert (statistics.running_mean[:32] != 0).all()
    assert (statistics.running_mean[32:] == 0).all()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_gradient_equals_the_extracted_networks():
    net = supernet(norm="instance")
    genotype = samples(net, 1)[-1]
    small = net.extract(genotype)
    for image in (net(maps(), genotype), small(maps())):
        image.square().mean().backward()
    wide = dict(net.named_parameters())
    for name, parameter in small.named_parameters():
        part = wide[name].grad[tuple(slice(side) for side in parameter.shape)]
        assert torch.allclose(part, parameter.grad, atol=1e-6), name


def test_running_statistics_of_an_extracted_network_can_be_measured_again():
    net = supernet()
    small = net.extract(net.space.smallest())
    update_bn([maps(seed) for seed in range(4)], small)
    fed = torch.cat([small.fc(maps(seed)[:, :, ::32, ::32]) for seed in range(4)])
    assert torch.allclose(small.head_0.norm_0.param_free_norm.running_mean, fed.mean((0, 2, 3)), atol=1e-6)


def test_a_copy_of_the_supernet_shares_nothing_with_it():
    net = supernet().eval()
    twin = copy.deepcopy(net)
    before = net(maps(), net.space.smallest())
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert twin(maps(), net.space.smallest()).abs().max() == 0
    assert torch.equal(net(maps(), net.space.smallest()), before)


def test_genotype_of_another_space_is_refused_by_name():
    net = supernet()
    with pytest.raises(SlimgenError, match=r"channel\.up1"):
        net.extract(net.space.largest().replace({"channel.up1": 5}))


@pytest.mark.parametrize("space", ["channels-48", [[1, 2]] * 7, [[]] * 8, [[0]] * 8])
def test_a_malformed_space_is_an_error_of_one_line(space):
    with pytest.raises(RecipeError, match="space of SPADE channels"):
        CHANNELS.space(space)


def test_the_error_for_a_misspelt_family_suggests_the_nearest():
    with pytest.raises(RecipeError, match=r"'mobile_spad'; did you mean 'mobile_spade'\?"):
        OnceForAllSpade("mobile_spad")
