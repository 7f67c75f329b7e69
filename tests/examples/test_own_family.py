"""The family of networks of the examples: its two readings agree, by its line and by its import path."""

import pytest
import torch

from examples.own_family import Hourglass
from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import GENERATORS, build_generator, generator_cost

PATH = "examples.own_family:Hourglass"


@pytest.fixture
def registered(monkeypatch) -> None:
    monkeypatch.setitem(GENERATORS, "hourglass", PATH)


@pytest.mark.parametrize("options", [{}, {"ngf": 5, "halvings": 1}, {"ngf": 8, "halvings": 3, "blocks": 1}])
@pytest.mark.usefixtures("registered")
def test_its_closed_form_cost_equals_the_counted_one(options) -> None:
    net = build_generator("hourglass", **options)
    images = torch.zeros(1, 3, 32, 40)
    assert net(images).shape == images.shape
    assert generator_cost("hourglass", 32, 40, **options) == count(net, images)


@pytest.mark.usefixtures("registered")
def test_its_import_path_stands_for_the_same_family() -> None:
    nets = [build_generator(family, seed=3, ngf=4) for family in ("hourglass", PATH)]
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert generator_cost("hourglass", 32, 32, ngf=4) == generator_cost(PATH, 32, 32, ngf=4)


@pytest.mark.usefixtures("registered")
def test_options_and_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SlimgenError, match="at least 1"):
        build_generator("hourglass", ngf=0)
    with pytest.raises(SlimgenError, match="did you mean 'halvings'"):
        build_generator("hourglass", halving=1)
    with pytest.raises(SlimgenError, match="multiples of 4; got 30x32"):
        Hourglass.cost(30, 32)
