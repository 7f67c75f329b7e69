"""Generators with masks over their filters in pieces for a table of latencies: their convolutions, one by one.

A family that is described by rows says its pieces itself. Of any other network the pieces are its convolutions and
linear layers at the sizes at which one run meets them; what lies between them, norms and activations, is a share of
these that the line through whole networks takes in.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.nets.co_evolution.cutting import shaped, without_numbers
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.co_evolution.layers import Writer
from slimgen.nets.initial import initialise
from slimgen.nets.pieces import Piece
from slimgen.search import Genotype, Space


class Call(NamedTuple):
    """One call of a layer: its name, and the shape of its input behind the channels."""

    name: str
    size: tuple[int, ...]


class Layered:
    """A generator's pruned versions as `slimgen.nets.pieces.InPieces`."""

    def __init__(self, filters: FilterSpace, example: Tensor) -> None:
        self.filters, self._example = filters, example
        self._drawn = lru_cache(maxsize=64)(filters.cut)

    @property
    def space(self) -> Space:
        """The space of the masks."""
        return self.filters.space

    @cached_property
    def _calls(self) -> Sequence[Call]:
        found, hooks, net = [], [], without_numbers(self.filters.net)

        def watch(name: str, module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            found.append(Call(name, tuple(given[0].shape[2:])))

        for name, module in net.named_modules():
            if isinstance(module, Writer):
                hooks.append(module.register_forward_hook(partial(watch, name)))
        with torch.no_grad():
            net.eval()(self._example.to("meta"))
        for hook in hooks:
            hook.remove()
        return found

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """Return the convolutions and linear layers; the first takes the network's input."""
        channels = self.filters.channels(self.filters.alike(genotype))
        found = []
        for name, size in self._calls:
            layer = self.filters.net.get_submodule(name)
            assert isinstance(layer, Writer)
            inputs, outputs = channels.get(name) or _whole(layer)
            about = layer.extra_repr().partition(", ")[2].partition(", ")[2]
            key = f"{type(layer).__name__} {inputs} to {outputs} {about} of {'x'.join(map(str, size)) or 1}"
            build = partial(_layer, layer, (inputs, outputs))
            found.append(Piece(key, build, (1, inputs, *size)))
        return found

    def extract(self, genotype: Genotype) -> nn.Module:
        """Return the pruned generator."""
        return self._drawn(genotype)

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """Return its cost on one image."""
        return self.filters.cost(genotype, height, width)


def _whole(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


def _layer(layer: nn.Module, channels: tuple[int, int]) -> nn.Module:
    """Return a copy of a layer with its first channels and drawn weights."""
    bare = nn.ModuleDict({"layer": without_numbers(layer)})
    cut = shaped(bare, {"layer": list(channels)}).get_submodule("layer")
    return initialise(cut.to_empty(device="cpu"), 0).eval()
