"""GauGAN's generator: published counts under each convention, its sizes, its labels, spectral norm folded."""

import random

import pytest
import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.initial import initialise
from slimgen.nets.spade.description import CHANNELS, SpadeOptions
from slimgen.nets.spade.generator import MobileSpadeGenerator, Spade, SpadeGenerator

CITYSCAPES = (256, 512)
PUBLISHED = {
    "32_32_48_32_32_32_32_24": (20_425_019, 31_608_315_904, 31_701_762_048),
    "32_40_40_32_40_24_32_24": (21_002_811, 31_114_369_024, 31_206_027_264),
    "32_32_32_48_32_24_24_32": (20_174_275, 31_155_085_312, 31_251_300_352),
}
"""The compressed generators of GAN Compression: reported as 20.4M and 31.7G, 21.0M and 31.2G, 20.2M and 31.3G."""


def labels(height: int, width: int, classes: int = 5, batch: int = 2) -> torch.Tensor:
    classes_of = torch.randint(classes, (batch, height, width), generator=torch.Generator().manual_seed(height))
    return nn.functional.one_hot(classes_of, classes).movedim(3, 1).float()


def test_the_original_has_the_published_cost_under_each_convention():
    expected = (93_048_003, 281_276_612_608, 281_276_612_608, 281_356_632_064)
    assert generator_cost("spade", *CITYSCAPES)[:4] == expected
    with torch.device("meta"):
        assert count(SpadeGenerator(), torch.empty(1, 36, *CITYSCAPES))[:4] == expected


@pytest.mark.parametrize("config", PUBLISHED)
def test_the_compressed_generators_have_the_published_costs(config):
    cost = generator_cost("mobile_spade", *CITYSCAPES, config=config)
    assert (cost.params, cost.torchprofile, cost.gan_compression) == PUBLISHED[config]
    with torch.device("meta"):
        assert count(MobileSpadeGenerator(config=config), torch.empty(1, 36, *CITYSCAPES)) == cost


def test_the_closed_form_equals_the_count():
    draw = random.Random(0)
    for _ in range(10):
        doublings = draw.choice((5, 6))
        options = {
            "config": [draw.randint(1, 9) for _ in range(8)],
            "inputs": draw.randint(1, 9),
            "outputs": draw.randint(1, 4),
            "norm": draw.choice(("batch", "instance")),
            "doublings": doublings,
        }
        height, width = 2**doublings * draw.randint(2, 3), 2**doublings * draw.randint(1, 4)
        for family in (SpadeGenerator, MobileSpadeGenerator):
            with torch.device("meta"):
                counted = count(family(**options), torch.empty(1, options["inputs"], height, width))
            assert family.cost(height, width, **options) == counted, (family, options, height, width)


def test_the_names_are_those_of_published_checkpoints():
    with torch.device("meta"):
        names = set(SpadeGenerator(ngf=1).state_dict())
        mobile = set(MobileSpadeGenerator(ngf=1).state_dict())
    assert len({name.split(".")[0] for name in names}) == 9
    spade = ["param_free_norm.running_mean", "mlp_shared.0.weight", "mlp_gamma.weight", "mlp_beta.bias"]
    assert {f"up_3.norm_s.{leaf}" for leaf in spade} | {"fc.bias", "G_middle_1.conv_1.bias", "conv_img.weight"} <= names
    assert {name for name in names if "conv_s" in name} == {f"up_{block}.conv_s.weight" for block in range(4)}
    assert {"head_0.norm_0.mlp_gamma.conv.0.weight", "head_0.norm_0.mlp_gamma.conv.2.bias"} <= mobile


@pytest.mark.parametrize("doublings", [5, 6])
def test_features_grow_from_a_part_of_the_size_to_the_image(doublings):
    net = build_generator("spade", inputs=5, outputs=1, config=[1, 2, 3, 1, 2, 3, 2, 4], doublings=doublings)
    seen = {}
    for name, part in net.named_children():
        part.register_forward_hook(lambda module, given, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    image, taps = net.features(labels(64, 128))
    least = (1, 2) if doublings == 6 else (2, 4)
    middle = (2, 4) if doublings == 6 else (4, 8)
    assert (seen["fc"], seen["head_0"]) == ((16, *least), (16, *least))
    assert (seen["G_middle_0"], seen["G_middle_1"]) == ((16, *middle), (16, 4, 8))
    assert [seen[f"up_{block}"] for block in range(4)] == [(16, 8, 16), (12, 16, 32), (4, 32, 64), (4, 64, 128)]
    assert [tuple(tap.shape[1:]) for tap in taps] == [seen[name] for name in ("head_0", "G_middle_1", "up_1")]
    assert net.options.tap_channels == [16, 16, 12]
    assert image.shape == (2, 1, 64, 128)
    assert image.abs().max() <= 1
    assert torch.equal(net.eval()(labels(64, 128)), net.features(labels(64, 128))[0])


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_spade_scales_and_shifts_normalised_features(norm):
    block = SpadeOptions(inputs=5, ngf=2, norm=norm).blocks()[
        -1
    ]  # up_3: its SPADE layers see labels through 4 channels
    row = block._replace(inputs=3).row().within[2]
    layer = initialise(Spade(row), 0)
    with torch.no_grad():
        layer.mlp_gamma.weight.zero_()
        layer.mlp_beta.weight.zero_()
        layer.mlp_gamma.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
        layer.mlp_beta.bias.copy_(torch.tensor([0.0, 5.0, 7.0]))
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 3 + 2
    out = layer(x, labels(8, 8, batch=4))
    over = (0, 2, 3) if norm == "batch" else (2, 3)
    assert torch.allclose(out[:, 0].std(), torch.tensor(2.0), atol=0.05)
    assert torch.allclose(out.mean(over), torch.tensor([0.0, 5.0, 7.0]).expand_as(out.mean(over)), atol=1e-5)
    assert torch.equal(out[:, 2], torch.full_like(out[:, 2], 7.0))


def test_a_pixel_that_the_full_size_alone_samples_changes_its_surroundings_alone():
    net = build_generator("spade", inputs=5, ngf=2).eval()
    maps = labels(64, 128)
    other = maps.clone()
    other[0, :, 33, 65] = other[0, :, 33, 65].roll(1)
    changed = (net(other) - net(maps)).abs().sum(1).nonzero()
    # Five convolutions of 3 x 3 lie between a label and the image: two in each SPADE, then the block's and the last.
    centre = torch.tensor([0, 33, 65])
    assert (changed == centre).all(1).any()
    assert (changed - centre).abs().max() == 5


def test_the_network_exports_with_dynamic_sizes():
    net = build_generator("spade", inputs=5, ngf=1, doublings=5).eval()
    sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(net, (labels(64, 64),), dynamic_shapes=(sides,)).module()
    assert torch.allclose(exported(labels(96, 160)), net(labels(96, 160)), atol=1e-6)


def test_spectral_norm_folds_into_plain_weights_that_compute_the_same():
    net = build_generator("spade", seed=3, inputs=5, ngf=2, norm="instance", spectral=True)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    plain = net.folded()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net.training
    assert set(plain.state_dict()) == set(build_generator("spade", inputs=5, ngf=2, norm="instance").state_dict())
    assert torch.linalg.matrix_norm(plain.up_0.conv_0.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
    assert count(net, labels(64, 128)[:1]) == SpadeGenerator.cost(
        64, 128, inputs=5, ngf=2, norm="instance", spectral=True
    )
    assert torch.allclose(plain.eval()(labels(64, 128)), net.eval()(labels(64, 128)), atol=1e-6)


@pytest.mark.parametrize(
    ("doublings", "size", "message"),
    [
        (6, (96, 128), r"multiples of 64; got 96 x 128; use doublings: 5"),
        (5, (48, 64), r"multiples of 32; got 48 x 64; use larger images"),
        (6, (0, 64), r"multiples of 64; got 0 x 64"),
    ],
)
def test_a_size_the_network_would_change_is_refused(doublings, size, message):
    with pytest.raises(SlimgenError, match=message):
        SpadeGenerator.cost(*size, doublings=doublings)
    with pytest.raises(SlimgenError, match=message):
        SpadeGenerator(ngf=1, doublings=doublings)(torch.rand(1, 36, *size))


def test_a_single_pixel_cannot_be_normalised_on_its_own():
    assert (
        SpadeGenerator.cost(64, 64, ngf=1).params == SpadeGenerator.cost(128, 128, ngf=1).params
    )  # a batch of them can
    for cost in (lambda: SpadeGenerator.cost(64, 64, norm="instance"), lambda: MobileSpadeGenerator.cost(64, 64)):
        with pytest.raises(SlimgenError, match=r"with InstanceNorm more than 64 x 64 pixels; got 64 x 64"):
            cost()
    assert build_generator("mobile_spade", inputs=5, ngf=1)(labels(64, 128)).shape == (2, 3, 64, 128)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "btch"}, r"known norm; got 'btch'; did you mean 'batch'\?"),
        ({"doublings": 7}, "must be 5 or 6; got 7"),
        ({"inputs": 0}, "inputs and outputs .* must be at least 1; got inputs=0"),
        ({"ngf": 0}, "eight positive numbers"),
        ({"config": "32_32_48_32_48_16"}, "eight positive numbers"),
        ({"config": "a_b_c_d_e_f_g_h"}, "eight positive numbers"),
    ],
)
def test_an_option_out_of_range_is_refused(wrong, message):
    with pytest.raises(SlimgenError, match=message):
        SpadeGenerator(**wrong)
    with pytest.raises(SlimgenError, match=message):
        SpadeGenerator.cost(256, 256, **wrong)


def test_a_configuration_is_read_as_text_or_as_numbers():
    assert CHANNELS.parse("32_40_40_32_40_24_32_24") == CHANNELS.parse([32, 40, 40, 32, 40, 24, 32, 24])
    assert SpadeGenerator.cost(256, 256, ngf=16) == SpadeGenerator.cost(256, 256, config=[16] * 8)
    with pytest.raises(RecipeError):
        CHANNELS.parse(None)
