"""Networks of one's own with all that may lie between two convolutions: what of them can be cut."""

import random
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from examples.srgan import Srgan
from slimgen.cost.count import count
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


class Unshuffled(Chain):
    """Pixels become channels, and channels pixels again."""

    def __init__(self) -> None:
        super().__init__()
        self.gather = nn.Conv2d(32, 8, 1)

    def between(self, hidden: Tensor) -> Tensor:
        return F.interpolate(self.gather(F.pixel_unshuffle(hidden, 2)), scale_factor=2, mode="bilinear")


class Halves(Chain):
    """One half of the channels is a gate for the other."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(8, 12, 3, padding=1)
        self.back = nn.Conv2d(6, 8, 1)

    def between(self, hidden: Tensor) -> Tensor:
        one, other = self.both(hidden).chunk(2, 1)
        return self.back(one * torch.sigmoid(other))


class Parts(Chain):
    """Parts of the channels, with sizes that follow the layers', go different ways and meet again."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 4, 1)
        self.far, self.near = nn.Conv2d(6, 8, 1), nn.Conv2d(4, 8, 1)

    def between(self, hidden: Tensor) -> Tensor:
        joined = torch.relu(torch.cat([self.one(hidden), self.other(hidden)], 1))
        one, other = joined.split([self.one.out_channels, self.other.out_channels], 1)
        return self.far(one) + self.near(other)


class Sizes(Chain):
    """Two parts of sizes that the code is sure of."""

    def between(self, hidden: Tensor) -> Tensor:
        one, other = hidden.split([3, 5], 1)
        return torch.cat([other, one], 1)


class Normed(Chain):
    """Each four channels are normalised together."""

    parts = 2

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(self.parts, 8)

    def between(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)


class NormedWhole(Normed):
    """All channels are normalised together."""

    parts = 1


class NormedEach(Normed):
    """Each channel is normalised by itself."""

    parts = 8


class Grouped(Chain):
    """Two groups of four channels each, of which each group may lose the same."""

    options: ClassVar[dict[str, Any]] = {"groups": 2, "kernel_size": 3, "padding": 1}
    kind = nn.Conv2d

    def __init__(self) -> None:
        super().__init__()
        self.grouped, self.norm = self.kind(8, 8, **self.options), nn.BatchNorm2d(8)

    def between(self, hidden: Tensor) -> Tensor:
        return self.norm(self.grouped(hidden))


class ManyGroups(Grouped):
    """Four groups of two channels each, of which whole groups may go."""

    options: ClassVar[dict[str, Any]] = {"groups": 4, "kernel_size": 3, "padding": 1}


class GroupedUp(Grouped):
    """Two groups in a transposed convolution."""

    options: ClassVar[dict[str, Any]] = {"groups": 2, "kernel_size": 3, "padding": 1}
    kind = nn.ConvTranspose2d


class ManyGroupsUp(GroupedUp):
    """Four groups in a transposed convolution."""

    options: ClassVar[dict[str, Any]] = {"groups": 4, "kernel_size": 3, "padding": 1}


class Multiplied(Chain):
    """Two filters for each channel by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.back = nn.Conv2d(16, 8, 1)

    def between(self, hidden: Tensor) -> Tensor:
        return self.back(self.grouped(hidden))


class Squeezed(Chain):
    """Squeeze and excitation (Hu et al. 2018) by linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)

    def between(self, hidden: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(hidden.mean((2, 3))))))
        return hidden * gate[:, :, None, None]


class ChannelAttention(Chain):
    """Attention over channels by 1x1 convolutions, in a residual block (RCAN, Zhang et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.slopes = nn.Conv2d(8, 8, 3, padding=1), nn.PReLU(8)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid()
        )

    def between(self, hidden: Tensor) -> Tensor:
        inside = self.slopes(self.body(hidden))
        return hidden + inside * self.gate(inside)


class PixelAttention(Chain):
    """One map for all channels, from their mean: a smaller mean would be another."""

    def between(self, hidden: Tensor) -> Tensor:
        return hidden * torch.sigmoid(hidden.mean(1, keepdim=True))


class LastNorm(Chain):
    """A LayerNorm over the channels of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def between(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mixed(Chain):
    """Channels of two groups change places, as in ShuffleNet."""

    def between(self, hidden: Tensor) -> Tensor:
        return F.channel_shuffle(hidden, 2)


LATER = {"filter.second", "filter.third"}
EVERY = {"filter.first", *LATER}
NETS = {
    OneSlope: EVERY,
    Shuffled: {*EVERY, "filter.spread"},
    Unshuffled: {*EVERY, "filter.gather"},
    Halves: {*EVERY, "filter.both", "filter.back"},
    Parts: {*EVERY, "filter.one", "filter.other", "filter.far"},
    Sizes: LATER,
    Normed: EVERY,
    NormedWhole: LATER,
    NormedEach: EVERY,
    Grouped: {*EVERY, "filter.grouped"},
    ManyGroups: EVERY,
    GroupedUp: {*EVERY, "filter.grouped"},
    ManyGroupsUp: EVERY,
    Multiplied: {*EVERY, "filter.back"},
    Squeezed: {*EVERY, "filter.squeeze"},
    ChannelAttention: {*EVERY, "filter.gate-1"},
    PixelAttention: LATER,
    LastNorm: LATER,
    Mixed: EVERY,
    Attention: LATER,
    TwoHeads: LATER,
    Folded: LATER,
    Faint: LATER,
    Single: EVERY,
}
BITS = {
    Shuffled: {"filter.spread": 8},
    Halves: {"filter.both": 6},
    Normed: {"filter.first": 2},
    NormedEach: {"filter.first": 8},
    Grouped: {"filter.first": 4, "filter.grouped": 4},
    ManyGroups: {"filter.first": 4},
    Multiplied: {"filter.first": 8},
    Squeezed: {"filter.first": 8, "filter.squeeze": 4},
    Mixed: {"filter.first": 4},
}
REASONS = {
    Attention: ("query", "passes a matrix product"),
    Sizes: ("first", "its code does not run without"),
    NormedWhole: ("first", "normalised over all its channels by norm, a GroupNorm with one group"),
    PixelAttention: ("first", "passes an operation that sums its channels"),
    LastNorm: ("first", "passes a LayerNorm over its channels"),
}


@pytest.mark.parametrize("kind", NETS)
def test_filters_that_can_be_cut_are_found_and_cutting_equals_zeroing(kind):
    torch.manual_seed(0)
    net = lively(kind())
    filters = FilterSpace(net, torch.zeros(1, 3, SIDE, SIDE))
    assert set(filters.space) == NETS[kind]
    assert BITS.get(kind, {}).items() <= {name: mask.length for name, mask in filters.space.items()}.items()
    shown, rng = torch.rand(2, 3, SIDE, SIDE) * 2 - 1, random.Random(0)
    with torch.no_grad():
        whole = net(shown)
        for _ in range(8):
            genotype = filters.space.sample(rng)
            cut, masked = filters.cut(genotype)(shown), filters.masked(genotype)(shown)
            torch.testing.assert_close(cut, masked, rtol=0, atol=1e-4 * float((masked - whole).abs().max()) + 2e-7)
            assert filters.cost(genotype, SIDE, SIDE) == count(filters.cut(genotype), shown[:1])


@pytest.mark.parametrize("kind", REASONS)
def test_a_layer_that_stays_whole_has_its_reason(kind):
    layer, reason = REASONS[kind]
    assert reason in FilterSpace(kind().eval(), torch.zeros(1, 3, SIDE, SIDE)).pinned[layer]


def lively(net: nn.Module) -> nn.Module:
    """Norms and slopes that would show through a mask."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.PReLU):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    nn.init.uniform_(tensor, 0.5, 1.5)
    return net.eval()


def test_the_generator_of_srgan_can_be_cut_to_half_of_its_macs_by_the_same_share_of_every_layer():
    net = lively(Srgan(channels=16, blocks=2))
    filters = FilterSpace(net, torch.zeros(1, 3, SIDE, SIDE))
    assert dict(filters.pinned) == {"block5.2": "makes the output"}
    whole, half = (filters.cost(filters.strongest(part), SIDE, SIDE).exact for part in (1, 0.5))
    assert half < whole / 2
    genotype = filters.strongest(0.5)
    shown = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(filters.cut(genotype)(shown), filters.masked(genotype)(shown))


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


def test_a_filter_that_is_read_twice_has_two_places_in_every_layer_that_reads_it():
    (group,) = groups(Doubled(), torch.zeros(1, 3, SIDE, SIDE))
    assert [part.places for part in group.parts if part.module == "blocks.1" and part.axis == "in"] == [
        tuple(range(8)),
        tuple(range(8, 16)),
    ]


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
        self.normed, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(1, 4)
        self.mean = nn.Conv2d(4, 4, 3, padding=1)
        self.paint, self.added, self.unused = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(1, 1, 1)

    def forward(self, images):
        hidden = self.mean(self.norm(self.normed(images + self.added(images))))
        return self.paint(hidden / hidden.sum(1, keepdim=True))


class Scaled(nn.Module):
    """Its features are scaled by a parameter that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled, self.scale = nn.Conv2d(3, 4, 1), nn.Parameter(torch.ones(4, 1, 1))
        self.linear = nn.Linear(4, 3)

    def forward(self, images):
        features = self.scaled(images) * self.scale
        return self.linear(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_where_nothing_can_be_cut_each_layer_has_its_reason() -> None:
    with pytest.raises(SlimgenError) as caught:
        groups(Whole().eval(), torch.zeros(1, 3, 8, 8))
    for reason in (
        *("normed is normalised over all its channels by norm, a GroupNorm with one group", "paint makes the output"),
        "mean passes an operation that sums its channels",
        *("added is added to the input images", "unused is never run"),
    ):
        assert reason in str(caught.value)
    with pytest.raises(SlimgenError, match="scaled is combined with a parameter that belongs to no layer"):
        groups(Scaled().eval(), torch.zeros(1, 3, 8, 8))
