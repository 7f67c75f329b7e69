"""Networks of one's own, by their import path."""

import sys
from types import SimpleNamespace

import torch
from torch import nn

from slimgen.cost.count import count
from slimgen.nets import build_generator, generator_cost, noise_length

HERE = "own_networks"


class FromNoise(nn.Module):
    """Noise to images of one size."""

    def __init__(self, latent: int = 5) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(latent, 4 * 16), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, noise):
        return self.conv(self.linear(noise).view(-1, 4, 4, 4))


def test_a_generator_of_noise_of_ones_own_is_counted_on_noise(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, SimpleNamespace(FromNoise=FromNoise))
    family = f"{HERE}:FromNoise"
    assert noise_length(family, latent=7) == 7
    net = build_generator(family, latent=7)
    assert generator_cost(family, 4, 4, latent=7) == count(net, torch.zeros(1, 7))
