import random

import pytest
import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.initial import initialise
from slimgen.nets.resnet.generator import ResnetGenerator


def test_the_original_has_the_papers_cost_under_each_convention():
    expected = (11_378_179, 49_551_507_456, 56_799_264_768, 56_831_770_624)
    assert ResnetGenerator.cost(256, 256)[:4] == expected
    with torch.device("meta"):
        assert count(ResnetGenerator(), torch.empty(1, 3, 256, 256))[:4] == expected


def test_the_closed_form_equals_the_count():
    draw = random.Random(0)
    for _ in range(30):
        options = {
            "ngf": draw.randint(1, 96),
            "blocks": draw.randint(0, 12),
            "inputs": draw.randint(1, 5),
            "outputs": draw.randint(1, 5),
            "dropout": draw.choice((0.0, 0.5)),
            "norm": draw.choice(("instance", "batch")),
        }
        height, width = (4 * draw.randint(2, 80) for _ in range(2))
        with torch.device("meta"):
            counted = count(ResnetGenerator(**options), torch.empty(1, options["inputs"], height, width))
        assert ResnetGenerator.cost(height, width, **options) == counted, (options, height, width)


@pytest.mark.parametrize(("dropout", "second"), [(0.0, 5), (0.5, 6)])
def test_the_names_are_those_of_published_checkpoints(dropout, second):
    convolutions = [1, 4, 7, *(f"{at}.conv_block.{inner}" for at in range(10, 19) for inner in (1, second)), 19, 22, 26]
    expected = [f"model.{at}.{leaf}" for at in convolutions for leaf in ("weight", "bias")]
    with torch.device("meta"):
        assert list(ResnetGenerator(dropout=dropout).state_dict()) == expected


def test_the_error_for_a_misspelt_norm_suggests_the_nearest():
    with pytest.raises(SlimgenError, match="did you mean 'batch'"):
        ResnetGenerator(norm="bach")


def test_pictures_keep_their_size():
    net = initialise(ResnetGenerator(outputs=1, ngf=4, blocks=1), 0)
    out = net(torch.rand(2, 3, 24, 40))
    assert out.shape == (2, 1, 24, 40)
    assert out.abs().max() <= 1


@pytest.mark.parametrize("size", [(30, 32), (32, 33), (4, 32)])
def test_a_size_the_network_would_change_is_refused(size):
    net = ResnetGenerator(ngf=2, blocks=0)
    with pytest.raises(SlimgenError, match=f"multiples of 4.*got {size[0]} x {size[1]}"):
        net(torch.rand(1, 3, *size))
    with pytest.raises(SlimgenError, match="multiples of 4"):
        ResnetGenerator.cost(*size)


def test_the_network_exports_with_dynamic_sizes():
    side = torch.export.Dim("side", min=8, max=640)
    net = initialise(ResnetGenerator(ngf=2, blocks=1), 0).eval()
    exported = torch.export.export(net, (torch.rand(1, 3, 16, 16),), dynamic_shapes=({2: side, 3: side},))
    x = torch.rand(1, 3, 32, 32)
    assert torch.allclose(exported.module()(x), net(x), atol=1e-6)


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(1)
    one = build_generator("resnet", seed=7, ngf=4, blocks=1)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    same = initialise(ResnetGenerator(ngf=4, blocks=1), 7)
    other = build_generator("resnet", seed=8, ngf=4, blocks=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.model[1].weight, other.model[1].weight)
    torch.set_rng_state(state)
    initialise(same, 9)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_are_drawn_from_the_normal_distribution_of_pix2pix():
    net = initialise(nn.Sequential(nn.Conv2d(64, 64, 5), nn.BatchNorm2d(4096), nn.Linear(256, 256)), 0)
    for weight, mean in ((net[0].weight, 0.0), (net[1].weight, 1.0), (net[2].weight, 0.0)):
        error = 0.02 / weight.numel() ** 0.5
        assert abs(weight.mean().item() - mean) < 5 * error
        assert abs(weight.std().item() - 0.02) < 5 * error
    assert not any(layer.bias.any() for layer in net)


def test_a_family_is_built_and_counted_from_the_same_options():
    options = {"ngf": 8, "blocks": 2, "dropout": 0.5}
    net = build_generator("resnet", **options)
    assert generator_cost("resnet", 32, 64, **options) == count(net, torch.rand(1, 3, 32, 64))


def test_the_error_for_a_misspelt_family_or_option_suggests_the_nearest():
    with pytest.raises(SlimgenError, match=r"no generator family is called 'resnett'; did you mean 'resnet'\?"):
        build_generator("resnett")
    with pytest.raises(SlimgenError, match=r"'resnet' has no option 'nfg'; did you mean 'ngf'\?"):
        generator_cost("resnet", 256, 256, nfg=3)


@pytest.mark.parametrize("wrong", [{"ngf": 0}, {"blocks": -1}, {"dropout": 1.0}])
def test_an_option_out_of_range_is_refused(wrong):
    with pytest.raises(SlimgenError, match="a ResNet generator must have"):
        ResnetGenerator(**wrong)
