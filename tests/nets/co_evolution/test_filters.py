"""Masks over filters: which filters hang together, and networks without them against networks with zeroed ones."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.search import Genotype

EXAMPLES = Path(__file__).parents[3] / "examples"
OWN = "own_generator:Squeezer"
NETS = {
    "resnet": ({"family": "resnet", "ngf": 6, "blocks": 9}, 16),
    "mobile": ({"family": "mobile_resnet", "ngf": 6, "blocks": 2}, 8),
    "separable": (
        {"family": "mobile_resnet", "ngf": 6, "blocks": 2, "separable": ["downsample", "resblocks", "upsample"]},
        8,
    ),
    "unet": ({"family": "unet", "ngf": 4, "depth": 5}, 32),
    "unet, instance norm": ({"family": "unet", "ngf": 4, "depth": 3, "norm": "instance"}, 16),
    "own": ({"family": OWN, "hidden": 8}, 16),
}


@pytest.fixture(autouse=True)
def own_generator_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


def lively(net: nn.Module) -> nn.Module:
    """Weights that leave no channel near zero, and biases and norms that would show through a mask."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
        for tensor in (module.__dict__.get("_parameters") or {}).values():
            if tensor is not None and tensor.dim() == 1:
                nn.init.normal_(tensor, 0.3, 0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
    return net.eval()


def made(name: str) -> tuple[nn.Module, FilterSpace, int]:
    options, size = NETS[name]
    family = options["family"]
    rest = {key: value for key, value in options.items() if key != "family"}
    net = lively(build_generator(**options))
    return net, FilterSpace(net, torch.zeros(1, 3, size, size), family=family, options=rest), size


def images(size: int) -> torch.Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", NETS)
def test_a_cut_network_equals_the_one_with_zeroed_filters_at_a_hundred_masks(name):
    net, filters, size = made(name)
    # In float64: norms of a few pixels magnify a rounding error of float32 beyond what is to be shown.
    shown, rng = images(size).double(), random.Random(0)
    with torch.no_grad():
        whole, moved = net.double()(shown), 0.0
        for _ in range(100):
            genotype = filters.space.sample(rng)
            small = filters.cut(genotype)(shown)
            torch.testing.assert_close(small, filters.masked(genotype)(shown), rtol=0, atol=1e-5)
            moved = max(moved, float((small - whole).abs().max()))
    assert moved > 0.1


@pytest.mark.parametrize("name", NETS)
def test_a_cut_network_can_be_rebuilt_and_its_cost_and_share_equal_the_count(name):
    net, filters, size = made(name)
    rng, weights = random.Random(1), conv_weights(net)
    for genotype in [filters.space.largest(), filters.space.smallest(), *(filters.space.sample(rng) for _ in range(5))]:
        small = filters.cut(genotype)
        assert filters.cost(genotype, size, size) == count(small, images(size))
        assert filters.share(genotype) == conv_weights(small) / weights
        described = filters.described(genotype)
        again = build_generator(filters.family, **described)
        again.load_state_dict(small.state_dict())
        with torch.no_grad():
            assert torch.equal(again.eval()(images(size)), small(images(size)))
        assert generator_cost(filters.family, size, size, **described) == filters.cost(genotype, size, size)


def conv_weights(net: nn.Module) -> int:
    return sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))


def test_everything_kept_is_the_network_itself_and_nothing_is_shared():
    net, filters, size = made("resnet")
    copy = filters.cut(filters.space.largest())
    assert {name: value.tolist() for name, value in copy.state_dict().items()} == {
        name: value.tolist() for name, value in net.state_dict().items()
    }
    ours = {value.data_ptr() for value in net.state_dict().values()}
    assert not ours & {value.data_ptr() for value in copy.state_dict().values()}
    with torch.no_grad():
        assert torch.equal(copy(images(size)), net(images(size)))


def test_a_trunk_that_is_read_twice_is_cut_twice_and_the_images_beside_it_stay():
    net, filters, _ = made("own")
    assert set(filters.space) == {"filter.shrink-0", "filter.mix-0", "filter.grow-0"} | {
        f"filter.blocks-{block}-layers-0" for block in range(2)
    }
    small = filters.cut(filters.space.largest().replace({"filter.shrink-0": "11100000", "filter.grow-0": "0010"}))
    assert small.mix[0].in_channels == 6
    torch.testing.assert_close(small.paint.weight, net.paint.weight[:, [0, 1, 2, 5]])


def test_the_trunk_of_a_resnet_is_shared_and_the_inside_of_its_blocks_is_free():
    net, filters, _ = made("resnet")
    blocks = [f"filter.model-{place}-conv_block-1" for place in range(10, 19)]
    assert list(filters.space) == [
        "filter.model-1",
        "filter.model-4",
        "filter.model-7",
        *blocks,
        "filter.model-19",
        "filter.model-22",
    ]
    one = filters.space.largest().replace({"filter.model-7": "1" * 5 + "0" * 19, blocks[2]: "1" * 3 + "0" * 21})
    small = filters.cut(one)
    widths = [
        (block.conv_block[1].in_channels, block.conv_block[1].out_channels, block.conv_block[5].out_channels)
        for block in small.model[10:19]
    ]
    assert widths == [(5, 3 if place == 2 else 24, 5) for place in range(9)]
    assert small.model[26].out_channels == net.model[26].out_channels == 3


def test_the_authors_genome_of_a_resnet_has_640_bits_for_5248_filters():
    net = build_generator("resnet")
    example = torch.zeros(1, 3, 16, 16)
    authors = FilterSpace(net, example, family="resnet", authors=True)
    assert authors.bits == 640
    assert authors.filters == 5248
    assert [dimension.length for dimension in authors.space.values()] == [64, 128, 256, 128, 64]
    free = FilterSpace(net, example, family="resnet")
    assert free.bits == 64 + 128 + 256 + 9 * 256 + 128 + 64
    assert free.filters == 5248
    half = {name: "10" * (dimension.length // 2) for name, dimension in authors.space.items()}
    assert authors.cost(half, 256, 256) == generator_cost("resnet", 256, 256, ngf=32)


def test_the_authors_genome_is_refused_elsewhere():
    with pytest.raises(RecipeError, match="ResNet"):
        FilterSpace(build_generator("unet", depth=4), torch.zeros(1, 3, 16, 16), authors=True)
    net = build_generator("resnet", config="4_4_4_2_4_4_4_4")
    with pytest.raises(RecipeError, match="as wide inside"):
        FilterSpace(net, torch.zeros(1, 3, 16, 16), authors=True)


def test_magnitude_keeps_the_strongest_filters_of_every_layer():
    _, filters, _ = made("unet")
    genotype = filters.strongest(0.5)
    for name, strength in filters.strengths().items():
        bits = str(genotype[name])
        assert bits.count("1") == -(-len(bits) // 2)
        stay = [float(value) for value, bit in zip(strength, bits, strict=True) if bit == "1"]
        gone = [float(value) for value, bit in zip(strength, bits, strict=True) if bit == "0"]
        assert min(stay) >= max(gone)


def test_strength_sums_the_filters_of_every_layer_that_writes_a_channel():
    net, filters, _ = made("resnet")
    writers = [net.model[7], *(block.conv_block[5] for block in net.model[10:19])]
    wanted = sum(writer.weight.abs().sum((1, 2, 3)) for writer in writers)
    torch.testing.assert_close(filters.strengths()["filter.model-7"], wanted.detach())
    grown = net.model[19].weight.abs().sum((0, 2, 3)).detach()
    torch.testing.assert_close(filters.strengths()["filter.model-19"], grown)


class Stubborn(nn.Module):
    """Adds its input in the middle, reads one layer as so many channels, and flattens: three that must stay whole."""

    def __init__(self) -> None:
        super().__init__()
        self.added = nn.Conv2d(3, 3, 3, padding=1)
        self.free = nn.Conv2d(3, 8, 3, padding=1)
        self.counted = nn.Conv2d(8, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.free(self.added(images) + images))
        return self.last(self.counted(hidden).view(len(images), 4, *images.shape[2:]))


def test_layers_whose_shape_the_code_relies_on_stay_whole():
    filters = FilterSpace(lively(Stubborn()), torch.zeros(1, 3, 8, 8))
    assert list(filters.space) == ["filter.free"]
    genotype = Genotype({"filter.free": "10100000"})
    assert filters.cost(genotype, 8, 8) == count(filters.cut(genotype), torch.zeros(1, 3, 8, 8))


def test_a_network_without_filters_to_cut_is_refused():
    with pytest.raises(SlimgenError, match="must have filters that can be cut"):
        FilterSpace(nn.Sequential(nn.Conv2d(3, 3, 1)), torch.zeros(1, 3, 8, 8))


def test_a_parametrized_convolution_is_refused_by_name():
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 1)), nn.Conv2d(4, 3, 1))
    with pytest.raises(SlimgenError, match="a parametrization of 0"):
        FilterSpace(net, torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("nowhere:Net", {}, "PYTHONPATH"),
        ("own_generator:torch", {}, "subclass of torch.nn.Module"),
        (OWN, {"hiden": 3}, "did you mean 'hidden'"),
        (OWN, {"height": 3}, "must not be called height or width"),
        (OWN, {"kept_channels": {"nothing": [1, 1]}}, "name modules"),
        (OWN, {"kept_channels": {"mix.0": [1, 900]}}, "at most"),
        ("resnet", {"widths": {"stem": 1}}, "widths must have"),
        ("resnet", {"config": "4_4_4_4_4_4_4_4", "widths": {}}, "config or widths"),
        ("unet", {"widths": {"down": [1], "up": []}}, "8 numbers"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_with_the_reason(family, options, words):
    with pytest.raises(SlimgenError, match=words):
        build_generator(family, **options)


def test_the_example_runs_as_it_is():
    found = subprocess.run([sys.executable, EXAMPLES / "own_generator.py"], capture_output=True, text=True, check=True)
    assert "of which" in found.stdout
