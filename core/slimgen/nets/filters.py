"""Generators as masks over their filters (Co-Evolutionary Compression, Shu et al., ICCV 2019, section 3.2, Eq. 9)."""

import copy
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from slimgen.cost.formula import Cost
from slimgen.errors import SlimgenError
from slimgen.nets import generator_cost
from slimgen.nets.cutting import Kept, channels_of, narrowed, shaped
from slimgen.nets.dependencies import Convolution, Group, convolutions, is_depthwise
from slimgen.nets.filter_families import described
from slimgen.nets.filter_groups import filter_groups
from slimgen.nets.own import CHANNELS, counted
from slimgen.search import Genotype, Mask, Space


class _Layer(NamedTuple):
    """A convolution in Eq. 10: how many weights it has, given the filters that write and read it."""

    area: int
    outputs: int
    written: tuple[str, ...]
    inputs: int
    read: tuple[str, ...]


class FilterSpace:
    """A generator, and the space of its masks: a bit for every filter, one mask for each group of tied layers.

    Args:
        net: the generator: one of slimgen's families, or any network of convolutions. It is left as it was.
        example: an image that it takes (1, C, H, W); the network is traced with it.
        family: its family, so that what is cut out of it can be described and its cost be told; None where it is not
            to be built again.
        options: of the family.
        authors: one mask for the trunk of a ResNet and the inside of all its blocks, as in the published code, where
            the genome of a ResNet of 64 channels has 640 bits. Without it, each block has filters of its own inside.

    Attributes:
        space: dimensions `filter.model-1`, named after the layer that writes the channels, with - for its dots.

    Raises:
        SlimgenError: nothing can be cut.
        RecipeError: `authors` for a network that is no ResNet of one width.
    """

    def __init__(
        self,
        net: nn.Module,
        example: Tensor,
        *,
        family: str | None = None,
        options: Mapping[str, Any] | None = None,
        authors: bool = False,
    ) -> None:
        self.net, self.family, self.options = net, family, dict(options or {})
        own = family is None or ":" in family
        self._tied = filter_groups(net, example, own=own, authors=authors)
        self.space = Space({name: Mask(tied[0].length) for name, tied in self._tied.items()})
        self._written: dict[str, list[tuple[str, Group, tuple[int, ...]]]] = {}
        self._read: dict[str, list[tuple[str, Group, tuple[int, ...]]]] = {}
        for name, tied in self._tied.items():
            for group in tied:
                for part in group.parts:
                    where = self._written if part.axis == "out" else self._read
                    where.setdefault(part.module, []).append((name, group, part.places))
        self._layers = [self._layer(name, layer) for name, layer in convolutions(net)]
        self._whole = sum(_weights(layer, {}) for layer in self._layers)
        self._cost = lru_cache(maxsize=1 << 14)(self._count)
        self._skeleton: nn.Module | None = None

    @property
    def bits(self) -> int:
        """The length of the genome."""
        return sum(tied[0].length for tied in self._tied.values())

    @property
    def filters(self) -> int:
        """How many filters the genome decides about: a bit decides about one in every layer that is tied to it."""
        named = [name for tied in self._tied.values() for group in tied for name, _ in group.writers(self.net)]
        return sum(channels_of(self.net.get_submodule(name))[1] for name in dict.fromkeys(named))

    def cut(self, genotype: Genotype) -> nn.Module:
        """The generator without the filters whose bits are 0: physically small, and sharing nothing with the whole."""
        keeps = {name: _keep(str(genotype[name])) for name in self._tied}
        device = next(self.net.parameters()).device
        kept: dict[str, Kept] = {}
        for module in dict.fromkeys((*self._written, *self._read)):
            widths = channels_of(self.net.get_submodule(module))
            inputs = _remaining(widths[0], self._read.get(module, ()), keeps)
            outputs = _remaining(widths[1], self._written.get(module, ()), keeps)
            kept[module] = Kept(*(None if each is None else each.to(device) for each in (outputs, inputs)))
        return narrowed(self.net, kept)

    @torch.no_grad()
    def masked(self, genotype: Genotype) -> nn.Module:
        """The whole generator with those filters, their biases and the norms after them set to zero, as published.

        It computes what `cut` does wherever what lies between the layers maps zero to zero, but no faster.
        """
        net = copy.deepcopy(self.net)
        for module, entries in self._written.items():
            layer = net.get_submodule(module)
            for name, _, places in entries:
                gone = [place for place, bit in zip(places, str(genotype[name]), strict=True) if bit == "0"]
                for tensor, axis in _own_tensors(layer):
                    tensor.index_fill_(axis, torch.tensor(gone, dtype=torch.long, device=tensor.device), 0.0)
        return net

    def share(self, genotype: Mapping[str, Any]) -> float:
        """N(p) of Eq. 10: the part of the convolutions' weights that stays."""
        gone = self._gone(genotype)
        return sum(_weights(layer, gone) for layer in self._layers) / self._whole

    def channels(self, genotype: Mapping[str, Any]) -> dict[str, list[int]]:
        """Module name to the input and output channels that stay, of every module that is cut."""
        gone = self._gone(genotype)
        found = {}
        for module in dict.fromkeys((*self._written, *self._read)):
            layer = self.net.get_submodule(module)
            whole = channels_of(layer)
            outputs = whole[1] - sum(gone[name] for name, _, _ in self._written.get(module, ()))
            inputs = whole[0] - sum(gone[name] for name, _, _ in self._read.get(module, ()))
            alone = isinstance(layer, _NormBase | nn.PReLU) or is_depthwise(layer)
            found[module] = [outputs if alone else inputs, outputs]
        return found

    def described(self, genotype: Mapping[str, Any]) -> dict[str, Any]:
        """Options with which `build_generator(family, **options)` makes a network that takes the weights of `cut`."""
        if self.family is None:
            raise SlimgenError("only a generator of a family can be described")
        channels = self.channels(genotype)
        if ":" in self.family:
            return {**self.options, CHANNELS: channels}
        return described(self.family, self.options, lambda name: channels[name][1])

    def cost(self, genotype: Mapping[str, Any], height: int, width: int) -> Cost:
        """What the generator that is left costs: in closed form, or counted where it is of no family of slimgen's.

        Only how many filters stay matters, so each such set of numbers is counted once.
        """
        return self._cost(tuple(str(genotype[name]).count("1") for name in self._tied), height, width)

    def _count(self, ones: tuple[int, ...], height: int, width: int) -> Cost:
        genotype = {
            name: "1" * kept + "0" * (tied[0].length - kept)
            for (name, tied), kept in zip(self._tied.items(), ones, strict=True)
        }
        if self.family is not None:
            return generator_cost(self.family, height, width, **self.described(genotype))
        if self._skeleton is None:
            self._skeleton = copy.deepcopy(self.net).to("meta")
        with torch.device("meta"):
            return counted(shaped(self._skeleton, self.channels(genotype)), height, width)

    def strengths(self) -> dict[str, Tensor]:
        """The L1 norm of what each bit stands for: all filters at its place, summed."""
        found = {}
        for name, tied in self._tied.items():
            sums = torch.zeros(tied[0].length)
            for group in tied:
                for module, places in group.writers(self.net):
                    layer = self.net.get_submodule(module)
                    axis = 1 if isinstance(layer, nn.ConvTranspose2d) and not is_depthwise(layer) else 0
                    weight = layer.weight.detach().float().abs()  # type: ignore[operator]
                    norms = weight.sum([side for side in range(4) if side != axis]).cpu()
                    sums += norms[list(places)]
            found[name] = sums
        return found

    def strongest(self, part: float) -> Genotype:
        """The strongest filters of every group, the same part of each and at least one: pruning by magnitude."""
        values: dict[str, str] = {}
        for name, strength in self.strengths().items():
            count = max(1, math.ceil(part * len(strength)))
            stay = set(torch.argsort(strength, descending=True, stable=True)[:count].tolist())
            values[name] = "".join("1" if place in stay else "0" for place in range(len(strength)))
        return Genotype(values)

    def _gone(self, genotype: Mapping[str, Any]) -> dict[str, int]:
        return {name: str(genotype[name]).count("0") for name in self._tied}

    def _layer(self, name: str, layer: Convolution) -> _Layer:
        written = tuple(each for each, _, _ in self._written.get(name, ()))
        read = () if is_depthwise(layer) else tuple(each for each, _, _ in self._read.get(name, ()))
        per_group = 1 if is_depthwise(layer) else layer.in_channels // layer.groups
        return _Layer(math.prod(layer.kernel_size), layer.out_channels, written, per_group, read)


def _weights(layer: _Layer, gone: Mapping[str, int]) -> int:
    outputs = layer.outputs - sum(gone.get(name, 0) for name in layer.written)
    return outputs * (layer.inputs - sum(gone.get(name, 0) for name in layer.read)) * layer.area


def _keep(bits: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.asarray(np.frombuffer(bits.encode(), np.uint8) == ord("1"))


def _remaining(
    count: int, entries: Iterable[tuple[str, Group, tuple[int, ...]]], keeps: Mapping[str, Any]
) -> Tensor | None:
    entries = list(entries)
    if not entries:
        return None
    stay = np.ones(count, np.bool_)
    for name, _, places in entries:
        stay[np.asarray(places)[~keeps[name]]] = False
    return torch.from_numpy(np.flatnonzero(stay))


def _own_tensors(layer: nn.Module) -> list[tuple[Tensor, int]]:
    """A layer's tensors that belong to its output channels, and the axis of these."""
    if isinstance(layer, Convolution):
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) and not is_depthwise(layer) else 0
        found = [(layer.weight, axis), (layer.bias, 0)]
    elif isinstance(layer, _NormBase):
        found = [(layer.weight, 0), (layer.bias, 0), (layer.running_mean, 0)]
    else:
        found = []
    return [(tensor.data, axis) for tensor, axis in found if tensor is not None]
