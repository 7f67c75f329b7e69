"""The mobile ResNet and the once-for-all network over it: published counts, slices, pieces, checkpoints."""

import random

import numpy as np
import pytest
import torch

from slimgen.cost.count import count
from slimgen.errors import RecipeError
from slimgen.export.onnx import export_onnx, parity
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.checkpoints.choosing import import_weights
from slimgen.nets.configurations import write_config
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.resnet.description import CHANNELS
from slimgen.nets.resnet.generator import MobileResnetGenerator, ResnetGenerator
from slimgen.training.losses import reconstruction

SMALL = [[4, 6], [4, 6], [4, 6, 8], [2, 4], [3, 4], [2, 4], [4, 8], [2, 6]]
PUBLISHED = {
    "ngf 64": ({"ngf": 64}, 1_987_075, 18_314_428_416, 18_365_808_640, 11_066_671_104),
    "ngf 48": ({"ngf": 48}, 1_130_883, 10_564_927_488, 10_603_462_656, 6_488_064_000),
    "one": ({"config": "32_32_48_32_48_48_16_16"}, 822_051, None, 4_993_843_200, None),
    "two": ({"config": "48_32_32_48_40_32_24_16"}, 570_451, None, 4_363_780_096, None),
    "three": ({"config": "16_16_32_16_32_32_16_16"}, 356_867, None, 2_546_204_672, None),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_come_out_exactly(name):
    options, params, torchprofile, gan_compression, exact = PUBLISHED[name]
    cost = generator_cost("mobile_resnet", 256, 256, **options)
    assert (cost.params, cost.gan_compression) == (params, gan_compression)
    assert torchprofile in (None, cost.torchprofile)
    assert exact in (None, cost.exact)


def test_the_authors_spaces_have_their_sizes():
    sizes = {name: CHANNELS.space(name).size for name in CHANNELS.spaces}
    assert sizes == {
        "channels-48": 5_184,
        "channels-32": 6_561,
        "channels-64-cycleGAN": 390_625,
        "channels-64-pix2pix": 5_764_801,
    }


def test_both_notations_are_read_and_the_long_one_is_written():
    long = CHANNELS.parse("32_32_48_32_48_48_16_16")
    assert write_config(long) == "32_32_48_32_48_48_16_16"
    assert CHANNELS.parse([32, 32, 48, 32, 48, 48, 16, 16]) == long
    short = CHANNELS.parse("32_24_48_40_16_24")
    assert short == (32, 24, 48, 40, 40, 40, 16, 24)
    assert CHANNELS.config(CHANNELS.genotype(long)) == long


@pytest.mark.parametrize("value", ["32_32", "a_b_c_d_e_f_g_h", "32_32_0_32_48_48_16_16", 7, None])
def test_a_malformed_configuration_is_an_error_of_one_line(value):
    with pytest.raises(RecipeError, match="eight positive numbers"):
        CHANNELS.parse(value)


@pytest.mark.parametrize("space", ["channels-49", [[1, 2]] * 7, [[]] * 8, [[0]] * 8])
def test_a_malformed_space_is_an_error_of_one_line(space):
    with pytest.raises(RecipeError, match="space of channels"):
        CHANNELS.space(space)


TABLE_4 = {  # parameters in millions and MACs in billions, as published, at ngf 64 and 16
    "resblocks": ((1.98, 18.3), (0.14, 1.4)),
    "upsample": ((11.05, 48.3), (0.70, None)),
    # Of the three convolutions that the text names; the table has 11.13 M and 55.5 G, which no choice of them is.
    "downsample": ((11.04, 54.1), (0.69, None)),
}


@pytest.mark.parametrize("part", TABLE_4)
def test_separable_parts_have_the_costs_of_table_4(part):
    for ngf, (params, macs) in zip((64, 16), TABLE_4[part], strict=True):
        cost = generator_cost("mobile_resnet", 256, 256, ngf=ngf, separable=[part])
        assert cost.params == pytest.approx(params * 1e6, abs=0.01e6)
        assert macs is None or cost.torchprofile == pytest.approx(macs * 1e9, abs=0.05e9)


def test_without_separable_parts_a_mobile_resnet_is_a_resnet():
    mobile = build_generator("mobile_resnet", ngf=4, blocks=2, separable=[])
    dense = build_generator("resnet", ngf=4, blocks=2)
    assert mobile.state_dict().keys() == dense.state_dict().keys()


@pytest.mark.parametrize("wrong", ["resblocks", ["blocks"]])
def test_other_parts_than_the_three_are_refused(wrong):
    with pytest.raises(RecipeError, match="separable must list parts among downsample, resblocks, upsample"):
        generator_cost("mobile_resnet", 16, 16, separable=wrong)


def test_pruning_into_separable_parts_at_full_width_only_reorders_channels():
    wide = build_generator("mobile_resnet", ngf=4, blocks=2, separable=["downsample", "upsample"], seed=3).eval()
    net = OnceForAll("mobile_resnet", [[4]] * 8, blocks=2, separable=["downsample", "upsample"]).eval()
    net.prune_from(wide)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(net(images, net.space.largest()), wide(images), atol=1e-5)


KINDS = {
    "mobile": ("mobile_resnet", {}),
    "dense": ("resnet", {}),
    "downsample": ("mobile_resnet", {"separable": ["downsample"]}),
    "all": ("mobile_resnet", {"separable": ["downsample", "resblocks", "upsample"]}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_slice_and_extraction_give_the_same_images_and_the_counted_cost(kind, layout):
    family, options = KINDS[kind]
    net = OnceForAll(family, SMALL, blocks=4, **options).to(memory_format=layout).eval()
    images = torch.randn(2, 3, 16, 24).contiguous(memory_format=layout)
    rng = random.Random(0)
    for genotype in [net.space.largest(), net.space.smallest(), *(net.space.sample(rng) for _ in range(20))]:
        small = net.extract(genotype).eval()
        with torch.no_grad():
            image, features = net.features(images, genotype)
            alone, own = small.features(images)
        assert torch.allclose(image, alone, atol=1e-5)
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(features, own, strict=True))
        assert (
            net.cost(genotype, 16, 24)
            == count(small, images[:1])
            == small.cost(16, 24, blocks=4, config=write_config(CHANNELS.config(genotype)), **options)
        )


def test_an_extracted_network_exports_to_the_same_picture(tmp_path):
    net = OnceForAll(space=SMALL, blocks=3).eval()
    small = net.extract(net.space.sample(random.Random(3))).eval()
    export_onnx(small, tmp_path / "small.onnx", height=16, width=16)
    assert parity(small, tmp_path / "small.onnx", torch.randn(2, 3, 16, 16), tolerance=1e-3).max_abs < 1e-3


def test_exactly_the_first_channels_are_trained():
    net = OnceForAll(space=SMALL, blocks=3)
    genotype = net.space.smallest()
    images = torch.randn(1, 3, 16, 16)
    reconstruction(net(images, genotype), torch.randn(1, 3, 16, 16)).backward()
    shapes = {name: weight.shape for name, weight in net.extract(genotype).named_parameters()}
    for name, weight in net.named_parameters():
        inside = tuple(slice(side) for side in shapes[name])
        touched = torch.zeros_like(weight, dtype=torch.bool)
        touched[inside] = True
        assert weight.grad is not None
        assert not weight.grad[~touched].any()
        if weight.dim() > 1:
            assert weight.grad[inside].any()


@pytest.mark.parametrize("kind", ["mobile", "all"])
def test_costs_of_many_configurations_at_once_equal_the_single_ones(kind):
    net = OnceForAll(KINDS[kind][0], "channels-48", **KINDS[kind][1])
    rng = random.Random(1)
    genotypes = [net.space.sample(rng) for _ in range(50)]
    columns = {name: np.array([genotype[name] for genotype in genotypes], dtype=np.int64) for name in CHANNELS.names}
    at_once = net.description.cost(256, 256, [columns[name] for name in net.channels.names])
    for number, genotype in enumerate(genotypes):
        assert tuple(int(values[number]) for values in at_once) == tuple(net.cost(genotype, 256, 256))


@pytest.mark.parametrize("kind", ["mobile", "all"])
def test_pieces_in_a_chain_compute_what_the_network_computes(kind):
    net = OnceForAll(KINDS[kind][0], SMALL, blocks=4, **KINDS[kind][1])
    genotype = net.space.sample(random.Random(5))
    out = torch.randn(1, 3, 16, 24)
    pieces = net.pieces(genotype, 16, 24)
    modules = [piece.build() for piece in pieces]
    for piece, module in zip(pieces, modules, strict=True):
        assert tuple(out.shape) == piece.shape
        out = module(out)
    assert out.shape == (1, 3, 16, 24)
    weights = sum(weight.numel() for module in modules for weight in module.parameters())
    assert weights == net.cost(genotype, 16, 24).params
    kinds: dict[str, list[torch.Size]] = {}
    for piece, module in zip(pieces, modules, strict=True):
        shapes = [weight.shape for weight in module.parameters()]
        assert kinds.setdefault(piece.key, shapes) == shapes


@pytest.mark.parametrize("family", [ResnetGenerator, MobileResnetGenerator])
@pytest.mark.parametrize("saved", [0.0, 0.5])
def test_checkpoints_with_and_without_dropout_layers_are_imported(family, saved, tmp_path):
    source, target = family(ngf=4, blocks=2, dropout=saved), family(ngf=4, blocks=2, dropout=0.5 - saved)
    torch.save(source.state_dict(), tmp_path / "c.pth")
    import_weights(target, tmp_path / "c.pth")
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(source.eval()(images), target.eval()(images))


def test_a_configuration_builds_the_network_that_it_counts():
    net = build_generator("mobile_resnet", blocks=9, config="4_3_5_2_4_3_2_3")
    assert count(net, torch.zeros(1, 3, 16, 16)) == generator_cost("mobile_resnet", 16, 16, config="4_3_5_2_4_3_2_3")
