import random

import pytest
import torch

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_generator, generator_cost
from slimgen.nets.unet.generator import UnetGenerator


def test_the_unet_of_pix2pix_has_its_known_cost():
    cost = UnetGenerator.cost(256, 256)
    assert (cost.params, cost.torchprofile) == (54_413_955, 18_140_364_800)
    with torch.device("meta"):
        assert count(UnetGenerator(), torch.empty(1, 3, 256, 256)) == cost


def test_the_closed_form_equals_the_count():
    draw = random.Random(0)
    for _ in range(30):
        depth = draw.randint(2, 8)
        options = {
            "inputs": draw.randint(1, 5),
            "outputs": draw.randint(1, 5),
            "ngf": draw.randint(1, 64),
            "depth": depth,
            "norm": draw.choice(("batch", "instance")),
            "dropout": draw.choice((0.0, 0.5)),
        }
        height, width = (2**depth * draw.randint(1, 3) for _ in range(2))
        with torch.device("meta"):
            counted = count(UnetGenerator(**options), torch.empty(1, options["inputs"], height, width))
        assert UnetGenerator.cost(height, width, **options) == counted, (options, height, width)


def test_the_names_are_those_of_published_checkpoints():
    with torch.device("meta"):
        names = set(UnetGenerator(dropout=0.5).state_dict())
    nested = "model.model.1.model" + 6 * ".3.model"
    assert {"model.model.0.weight", "model.model.3.weight", "model.model.3.bias"} <= names
    assert {f"{nested}.1.weight", f"{nested}.3.weight", f"{nested}.4.running_mean"} <= names  # the deepest block
    assert "model.model.1.model.2.num_batches_tracked" in names
    assert "model.model.0.bias" not in names
    assert sum(not name.endswith(("mean", "var", "tracked")) for name in names) == 16 + 1 + 2 * 13


def test_only_the_widest_scales_of_the_decoder_have_dropout():
    with torch.device("meta"):
        modules = [type(module).__name__ for module in UnetGenerator(depth=8, dropout=0.5).modules()]
    assert modules.count("Dropout") == 3


def test_the_skip_returns_the_input():
    net = build_generator("unet", ngf=2, depth=2, norm="instance")
    x = torch.rand(1, 2, 8, 8)
    assert torch.equal(net.model.model[1](x)[:, :2], x)


def test_pictures_keep_their_size():
    net = build_generator("unet", ngf=2, depth=4, outputs=1).eval()
    out = net(torch.rand(2, 3, 16, 48))
    assert out.shape == (2, 1, 16, 48)
    assert out.abs().max() <= 1


def test_a_size_that_cannot_be_halved_often_enough_is_refused():
    with pytest.raises(SlimgenError, match=r"sides .* of depth 8 must be multiples of 256 pixels; got 256 x 300"):
        UnetGenerator.cost(256, 300)
    with pytest.raises(SlimgenError, match="multiples of 8 pixels; got 20 x 16"):
        UnetGenerator(ngf=2, depth=3)(torch.rand(1, 3, 20, 16))


@pytest.mark.parametrize("wrong", [{"ngf": 0}, {"depth": 1}, {"dropout": -0.1}])
def test_an_option_out_of_range_is_refused_by_the_network_and_by_its_cost(wrong):
    for made in (lambda: UnetGenerator(**wrong), lambda: generator_cost("unet", 256, 256, **wrong)):
        with pytest.raises(SlimgenError, match="a U-Net must have"):
            made()


def test_the_error_for_a_misspelt_norm_suggests_the_nearest():
    with pytest.raises(SlimgenError, match="did you mean 'batch'"):
        UnetGenerator(norm="bach")
