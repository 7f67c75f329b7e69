"""Networks of one's own with all that may lie between two convolutions: what of them can be cut."""

import random

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from slimgen.errors import SlimgenError
from slimgen.nets.co_evolution.dependencies import groups
from slimgen.nets.co_evolution.filters import FilterSpace

SIDE = 8


class Chain(nn.Module):
    """Four convolutions of eight channels, with something between the first and the second."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def between(self, hidden: Tensor) -> Tensor:
        return hidden

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.between(torch.relu(self.first(images)))
        return self.last(torch.relu(self.third(torch.relu(self.second(hidden)))))


class OneSlope(Chain):
    """One PReLU for all channels, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.PReLU()

    def between(self, hidden: Tensor) -> Tensor:
        return self.slope(hidden - 0.5 * self.slope(hidden))


class Shuffled(Chain):
    """Channels become pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Conv2d(8, 32, 3, stride=2, padding=1)

    def between(self, hidden: Tensor) -> Tensor:
        return F.pixel_shuffle(self.spread(hidden), 2)


class Attention(Chain):
    """Pixels look at pixels, with a number of heads that the code is sure of."""

    heads = 1

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(8, 8, 1) for _ in range(3))

    def between(self, hidden: Tensor) -> Tensor:
        size = hidden.shape
        query, key, value = (
            layer(hidden).reshape(size[0], self.heads, size[1] // self.heads, -1)
            for layer in (self.query, self.key, self.value)
        )
        seen = torch.einsum("nhci,nhcj->nhij", query, key).softmax(-1)
        return hidden + torch.einsum("nhij,nhcj->nhci", seen, value).reshape(size)


class TwoHeads(Attention):
    """The same with two."""

    heads = 2


class Folded(Chain):
    """Two halves of the channels side by side in the batch: any even number of channels will do."""

    def between(self, hidden: Tensor) -> Tensor:
        count, channels, height, width = hidden.shape
        halves = hidden.reshape(count * 2, channels // 2, height, width)
        return F.avg_pool2d(halves, 3, 1, 1).reshape(hidden.shape)


class Faint(Chain):
    """The branch, in which channels change places, is a thousandth of what it is added to."""

    def between(self, hidden: Tensor) -> Tensor:
        count, channels, height, width = hidden.shape
        parts = hidden.reshape(count, 2, channels // 2, height, width)
        return parts.transpose(1, 2).reshape(hidden.shape)

    def forward(self, images: Tensor) -> Tensor:
        return images + 1e-3 * super().forward(images)


class Single(Chain):
    """Code that says float32, so that it can be tried in no other."""

    def between(self, hidden: Tensor) -> Tensor:
        return hidden.float()


LATER = {"filter.second", "filter.third"}
NETS = {
    OneSlope: {"filter.first", *LATER},
    Shuffled: {"filter.first", *LATER},
    Attention: LATER,
    TwoHeads: LATER,
    Folded: LATER,
    Faint: LATER,
    Single: {"filter.first", *LATER},
}


@pytest.mark.parametrize("kind", NETS)
def test_filters_that_can_be_cut_are_found_and_cutting_equals_zeroing(kind):
    torch.manual_seed(0)
    net = kind().eval()
    filters = FilterSpace(net, torch.zeros(1, 3, SIDE, SIDE))
    assert set(filters.space) == NETS[kind]
    shown, rng = torch.rand(2, 3, SIDE, SIDE) * 2 - 1, random.Random(0)
    with torch.no_grad():
        whole = net(shown)
        for _ in range(8):
            genotype = filters.space.sample(rng)
            cut, masked = filters.cut(genotype)(shown), filters.masked(genotype)(shown)
            torch.testing.assert_close(cut, masked, rtol=0, atol=1e-4 * float((masked - whole).abs().max()) + 2e-7)


class Doubled(nn.Module):
    """A trunk of which every block reads each channel twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(16, 8, 1) for _ in range(3))
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images)
        for block in self.blocks:
            hidden = hidden + block(torch.cat([hidden, torch.relu(hidden)], 1))
        return self.last(hidden)


def test_each_filter_is_followed_once_however_many_layers_read_it_twice(monkeypatch):
    import torch_pruning

    asked = []
    follow = torch_pruning.DependencyGraph.get_pruning_group

    def watched(graph, module, prune, filters):
        asked.append(list(filters))
        return follow(graph, module, prune, filters)

    monkeypatch.setattr(torch_pruning.DependencyGraph, "get_pruning_group", watched)
    (group,) = groups(Doubled(), torch.zeros(1, 3, SIDE, SIDE))
    assert [part.places for part in group.parts if part.module == "blocks.1" and part.axis == "in"] == [
        tuple(range(8)),
        tuple(range(8, 16)),
    ]
    assert sorted(filters for filters in asked if len(filters) == 1) == [[filter_] for filter_ in range(8)]


@pytest.mark.parametrize("make", [nn.utils.spectral_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch says that they are old; they are what is tried
def test_weights_computed_by_a_hook_are_refused_with_advice(make):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), make(nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 3, 1))
    with pytest.raises(SlimgenError, match=f"weights of 1; remove the hook first .*remove_{make.__name__}"):
        groups(net, torch.zeros(1, 3, SIDE, SIDE))


class Whole(nn.Module):
    """Nothing of it can be cut, for a reason of each layer's own."""

    def __init__(self) -> None:
        super().__init__()
        self.normed, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.paint, self.added, self.unused = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(1, 1, 1)

    def forward(self, images):
        return self.paint(self.grouped(self.norm(self.normed(images + self.added(images)))))


class Scaled(nn.Module):
    """Its features are scaled by a parameter, or read by a linear layer, that are no convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled, self.scale = nn.Conv2d(3, 4, 1), nn.Parameter(torch.ones(4, 1, 1))
        self.mixed, self.linear = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, images):
        features = self.mixed(self.scaled(images) * self.scale)
        return self.linear(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_where_nothing_can_be_cut_each_layer_has_its_reason() -> None:
    with pytest.raises(SlimgenError) as caught:
        groups(Whole().eval(), torch.zeros(1, 3, 8, 8))
    for reason in (
        *("normed is tied to norm, a GroupNorm", "grouped is grouped", "paint makes the output"),
        *("added is added to the input images", "unused is never run"),
    ):
        assert reason in str(caught.value)
    with pytest.raises(SlimgenError, match="scaled is combined with a parameter that belongs to no layer"):
        groups(Scaled().eval(), torch.zeros(1, 3, 8, 8))
