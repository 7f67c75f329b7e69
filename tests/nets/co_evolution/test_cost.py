"""The cost of what masks leave of networks of one's own: arithmetic that is what is counted, under every convention."""

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from slimgen.cost.count import count
from slimgen.nets import build_generator
from slimgen.nets.co_evolution import filters as filters_module
from slimgen.nets.co_evolution.filters import FilterSpace

SIZE = 8


def around(inputs: int, outputs: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


class Plain(nn.Module):
    """Strides, both kinds of transposed convolution, depthwise and grouped ones, norms, slopes and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(around(3, 8, stride=2), nn.InstanceNorm2d(8), nn.PReLU(8))
        self.alone = nn.Sequential(around(8, 8, groups=8), nn.BatchNorm2d(8), nn.PReLU())
        self.grouped = nn.Sequential(around(8, 12, groups=4), nn.ReLU(), around(12, 6, bias=False), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(14, 10, 4, 2, 1), nn.InstanceNorm2d(10, affine=True), nn.ReLU())
        self.same = nn.ConvTranspose2d(10, 10, 3, 1, 1, groups=10)
        self.paint = around(13, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.alone(self.down(images))
        up = self.same(self.up(torch.cat([hidden, self.grouped(hidden)], 1)))
        return self.paint(torch.cat([images, up], 1))


class Again(nn.Module):
    """Layers that are called more than once, at different sizes, and a convolution with weights of another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.norm = around(3, 8), around(8, 8), nn.InstanceNorm2d(8, affine=True)
        self.inner, self.last = around(8, 5), around(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.first(images))
        for _ in range(2):
            hidden = F.avg_pool2d(torch.relu(self.norm(self.again(hidden))) + hidden, 2)
        return F.interpolate(self.last(torch.relu(self.inner(hidden))), scale_factor=4.0)


class Gated(nn.Module):
    """Products of feature maps, norms called as functions, a gate of fully connected layers: none is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.second, self.last = around(3, 8), around(3, 8), around(8, 6), around(6, 3)
        self.squeeze, self.scale = nn.Linear(3, 4), nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.first(images)) * torch.sigmoid(self.gate(images))
        hidden = torch.relu(F.instance_norm(self.second(hidden)))
        squeezed = self.squeeze(images.mean((2, 3))).sum(1)[:, None, None, None]
        return self.last(hidden) * self.scale + squeezed


class Dense(nn.Module):
    """A function whose operations go with the square of a width: no sum of widths tells its cost."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = around(3, 8), around(8, 6), around(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.first(images))
        squares = torch.stack([hidden * hidden for _ in range(hidden.shape[1])])
        return self.last(torch.relu(self.second(squares.mean(0))))


def resnet() -> nn.Module:
    return build_generator("mobile_resnet", ngf=4, blocks=2)


def unet() -> nn.Module:
    return build_generator("unet", ngf=3, depth=3, norm="instance")


def space(kind: Callable[[], nn.Module]) -> FilterSpace:
    torch.manual_seed(0)
    return FilterSpace(kind().eval(), torch.zeros(1, 3, SIZE, SIZE))


@pytest.mark.parametrize("kind", [Plain, Again, Gated, Dense, resnet, unet])
def test_the_cost_of_a_cut_network_equals_the_count_for_any_masks_and_size(kind):
    filters, rng = space(kind), random.Random(3)
    drawn = [filters.space.largest(), filters.space.smallest(), *(filters.space.sample(rng) for _ in range(12))]
    for genotype in drawn:
        small = filters.cut(genotype)
        for height, width in ((SIZE, SIZE), (SIZE, 2 * SIZE)):
            assert filters.cost(genotype, height, width) == count(small, torch.zeros(1, 3, height, width))
    assert len({filters.cost(genotype, SIZE, SIZE) for genotype in drawn}) > 10


@pytest.mark.parametrize(
    ("kind", "again"), [(Plain, False), (Again, False), (Gated, False), (resnet, False), (Dense, True)]
)
def test_a_network_is_counted_for_each_mask_only_where_no_form_fits_its_cost(kind, again, monkeypatch):
    filters, rng = space(kind), random.Random(4)
    filters.cost(filters.space.largest(), SIZE, SIZE)
    runs = []
    run = filters_module.counted
    monkeypatch.setattr(filters_module, "counted", lambda *given: runs.append(given) or run(*given))
    drawn = {filters._kept(genotype): genotype for genotype in (filters.space.sample(rng) for _ in range(5))}
    for genotype in drawn.values():
        filters.cost(genotype, SIZE, SIZE)
    assert len(runs) == (len(drawn) if again else 0)


def test_weights_that_two_layers_share_are_counted_once():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.one, self.two, self.last = around(3, 8), around(8, 8), around(8, 8), around(8, 3)
            self.two.weight, self.two.bias = self.one.weight, self.one.bias

        def forward(self, images: Tensor) -> Tensor:
            hidden = torch.relu(self.first(images))
            hidden = hidden + torch.relu(self.one(hidden))
            return self.last(hidden + torch.relu(self.two(hidden)))

    filters, rng = space(Shared), random.Random(5)
    assert [mask.length for mask in filters.space.values()] == [8]
    for _ in range(5):
        genotype = filters.space.sample(rng)
        small = filters.cut(genotype)
        assert small.one.weight is small.two.weight
        assert filters.cost(genotype, SIZE, SIZE) == count(small, torch.zeros(1, 3, SIZE, SIZE))
