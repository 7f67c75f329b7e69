import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from slimgen.cost.count import count
from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row, cost_of
from slimgen.nets.resnet.generator import ResnetGenerator


def separable(channels):
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, groups=channels), nn.InstanceNorm2d(channels), nn.Conv2d(channels, channels, 1)
    )


@pytest.mark.parametrize(
    ("ngf", "params", "torchprofile", "gan_compression", "exact"),
    [
        (64, 1_987_075, 18_314_428_416, 18_365_808_640, 11_066_671_104),
        (48, 1_130_883, 10_564_927_488, 10_603_462_656, 6_488_064_000),
    ],
)
def test_the_mobile_resnet_is_counted_as_published(ngf, params, torchprofile, gan_compression, exact):
    with torch.device("meta"):
        net, image = ResnetGenerator(ngf=ngf), torch.empty(1, 3, 256, 256)
        for block in list(net.model)[10:19]:
            block.conv_block[1], block.conv_block[5] = separable(4 * ngf), separable(4 * ngf)
    assert count(net, image)[:4] == (params, exact, torchprofile, gan_compression)


def test_each_layer_is_counted_as_its_closed_form():
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(6),
        nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1, bias=False),
        nn.InstanceNorm2d(8, affine=True),
        nn.Flatten(),
        nn.Linear(8 * 64, 10),
    )
    rows = [
        Row("grouped", "convolution", 4, 6, part=2, groups=2, norm="batch"),
        Row("up", "transposed", 6, 8, 4, stride=2, bias=False, norm="affine instance"),
        Row("linear", "linear", 512, 10),
    ]
    expected = cost_of(rows, 8, 8)
    assert count(net, torch.rand(1, 4, 8, 8)) == expected
    assert count(net.to("meta"), torch.empty(1, 4, 8, 8, device="meta")) == expected


def test_a_grouped_transposed_convolution_is_counted_by_the_group():
    cost = count(nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), torch.rand(1, 6, 5, 5))
    taps = 6 * 2 * 4  # each input channel reaches two of the four outputs
    assert cost == Cost(
        taps + 4, exact=taps * 25, torchprofile=taps * 100, gan_compression=taps * 100, thop=taps * 100 + 4 * 100
    )


def test_a_batch_costs_as_many_times_as_it_has_images():
    net = nn.Conv2d(3, 5, 3)
    one, four = count(net, torch.rand(1, 3, 9, 9)), count(net, torch.rand(4, 3, 9, 9))
    assert (four.exact, four.params) == (4 * one.exact, one.params)


def test_a_module_called_twice_costs_twice_with_one_set_of_parameters():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    once, twice = (count(nn.Sequential(*[layer] * uses), torch.rand(1, 4, 8, 8)) for uses in (1, 2))
    assert twice == Cost(once.params, *(2 * macs for macs in once[1:]))


def test_a_convolution_with_sliced_weights_costs_what_is_left_of_it():
    class Sliced(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight[:2, : x.shape[1]], bias=None, padding=1)

    assert count(Sliced(8, 8, 3), torch.rand(1, 4, 6, 6)).exact == 2 * 4 * 9 * 36


class Modulation(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, 3, 4, 4))

    def forward(self, x, y):
        x = x * (1 + y)  # the one product of two feature maps
        return 2 * x * self.gain + torch.mul(x, 0.5)


def test_only_products_of_two_feature_maps_are_operations():
    assert count(Modulation(), torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)) == Cost(48, 0, 0, 48)


def test_attention_is_counted_by_its_matrix_products():
    class Attention(nn.Module):
        def forward(self, x):
            return torch.bmm(x, x.transpose(1, 2)) @ x

    assert count(Attention(), torch.rand(2, 5, 7)) == Cost(0, *4 * [2 * (5 * 5 * 7 + 5 * 5 * 7)])


def test_counting_leaves_the_network_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    net[2].eval()
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    count(net, torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert [module.training for module in net.modules()] == [True, True, True, False, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert net(torch.rand(2, 3, 8, 8)).requires_grad


def test_a_network_that_fails_is_left_in_its_mode():
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(RuntimeError):
        count(net, torch.rand(1, 5, 8, 8))
    assert net.training
    assert net[0].training
