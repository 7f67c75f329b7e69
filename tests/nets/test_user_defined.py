"""Networks of one's own, by their import path."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.errors import SlimgenError
from slimgen.nets import build_generator, generator_cost, noise_length
from slimgen.nets.co_evolution.filters import FilterSpace

HERE = "own_networks"


class FromNoise(nn.Module):
    """Noise to images of one size."""

    def __init__(self, latent: int = 5) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(latent, 4 * 16), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, noise):
        return self.conv(self.linear(noise).view(-1, 4, 4, 4))


def test_a_user_defined_generator_with_noise_input_is_counted_on_noise(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, SimpleNamespace(FromNoise=FromNoise))
    family = f"{HERE}:FromNoise"
    assert noise_length(family, latent=7) == 7
    net = build_generator(family, latent=7)
    assert generator_cost(family, 4, 4, latent=7) == count(net, torch.zeros(1, 7))


class Wide(nn.Module):
    """Images to images, with an option whose name pruning uses."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels > 99:
            raise TypeError("no more than 99")
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 1), nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 3, 1)
        )

    def forward(self, images):
        return self.layers(images)


class Clash(Wide):
    """Has an option that is not its own to have."""

    def __init__(self, kept_channels: int = 4) -> None:
        super().__init__(kept_channels)


class Misspelt(Wide):
    """Calls a layer that it has not."""

    def forward(self, images):
        return self.layer(images)


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, SimpleNamespace(Wide=Wide, Clash=Clash, Misspelt=Misspelt))


def test_an_option_named_channels_is_the_classs_own_before_and_after_pruning(own):
    family = f"{HERE}:Wide"
    net = build_generator(family, channels=6).eval()
    filters = FilterSpace(net, torch.zeros(1, 3, 4, 4), family=family, options={"channels": 6})
    genotype = filters.space.smallest()
    again = build_generator(family, **filters.described(genotype))
    assert [layer.out_channels for layer in again.layers] == [1, 1, 3]
    again.load_state_dict(filters.cut(genotype).state_dict())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("Wide", {}, "requires the option 'channels'"),
        ("Wide", {"channels": 100}, "cannot build .*; got .*no more than 99"),
        ("Clash", {}, "must not have an option kept_channels"),
        ("Misspelt", {"channels": 2}, "Misspelt must take an image of 4 x 4; got AttributeError.*'layer'"),
    ],
)
def test_a_class_that_fails_is_an_error_of_one_line(own, name, options, words):
    with pytest.raises(SlimgenError, match=words):
        generator_cost(f"{HERE}:{name}", 4, 4, **options)


def test_a_module_that_does_not_parse_is_an_error_of_one_line(tmp_path, monkeypatch):
    (tmp_path / "halfway_written.py").write_text("class Net(\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SlimgenError, match=r"'halfway_written' must be a module .*; got SyntaxError"):
        build_generator("halfway_written:Net")
