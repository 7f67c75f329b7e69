"""Pruning a generator into a narrower one of its family."""

import pytest
import torch

from slimgen.errors import CheckpointError
from slimgen.nets.gan_compression.once_for_all import prune_into
from slimgen.nets.resnet.generator import MobileResnetGenerator, ResnetGenerator

FAMILIES = [ResnetGenerator, MobileResnetGenerator]


@pytest.mark.parametrize("family", FAMILIES)
def test_at_full_width_the_pruned_network_is_the_same_function(family):
    torch.manual_seed(0)  # one draw of four channels in twenty-four is in order already
    wide, narrow = family(ngf=4, blocks=2), family(ngf=4, blocks=2)
    prune_into(narrow.model, wide)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(narrow(images), wide(images), atol=1e-5)
    assert not torch.equal(narrow.model[1].weight, wide.model[1].weight)  # strongest first


@pytest.mark.parametrize("family", FAMILIES)
def test_cutting_channels_that_are_zero_changes_nothing(family):
    wide, narrow = family(config="4_4_4_4_4_4_4_4", blocks=3), family(config="2_4_4_4_3_4_4_2", blocks=3)
    with torch.no_grad():
        wide.model[1].weight[:2] = 0  # two of the stem's four channels
        wide.model[-2].weight[:, 2:] = 0  # the output ignores two of its inputs ...
        wide.model[-6].weight[:, 2:] = 0  # ... which are written by nothing
        block = wide.model[11].conv_block
        into = block[1] if family is ResnetGenerator else block[1].conv[2]
        into.weight[:4] = 0
        into.bias[:4] = 0
        wide.model[1].bias.zero_()
    prune_into(narrow.model, wide)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(narrow(images), wide(images), atol=1e-4)


def test_another_family_or_a_wider_network_is_refused():
    with pytest.raises(CheckpointError, match="an original of the supernet's family"):
        prune_into(MobileResnetGenerator(ngf=2, blocks=2).model, ResnetGenerator(ngf=4, blocks=2))
    with pytest.raises(CheckpointError, match="narrower"):
        prune_into(ResnetGenerator(ngf=8, blocks=2).model, ResnetGenerator(ngf=4, blocks=2))
