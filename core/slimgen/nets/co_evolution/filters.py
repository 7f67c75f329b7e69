"""Generators as masks over their filters (Co-Evolutionary Compression, Shu et al., ICCV 2019, section 3.2, Eq. 9)."""

import copy
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from slimgen.cost.formula import Cost
from slimgen.errors import SlimgenError
from slimgen.nets import generator_cost
from slimgen.nets.co_evolution import cost as filter_cost
from slimgen.nets.co_evolution.cutting import Kept, narrowed, shaped, without_numbers
from slimgen.nets.co_evolution.dependencies import Convolution, Group, channels_of, is_depthwise, output_axis
from slimgen.nets.co_evolution.groups import described, filter_groups
from slimgen.nets.user_defined import CHANNELS, UserDefined, counted
from slimgen.search import Genotype, Mask, Space

Entry = tuple[str, Group, tuple[int, ...]]
"""Which channels of a module a mask decides about: its dimension, one of its groups, and the place of each filter."""
_BLOCK = 16  # channels that a processor with AVX-512 computes at once


class FilterSpace:
    """A generator, and the space of its masks: a bit for every filter, one mask for each group of tied layers.

    Args:
        net: the generator: one of slimgen's families, or any network of convolutions. It is left as it was.
        example: an image that it takes (1, C, H, W); the network is traced with it.
        family: its family, with its options, by which what is cut out of it can be described; None if it need not be.
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
        self._user_defined = family is None or ":" in family
        self._tied = filter_groups(net, example, user_defined=self._user_defined, authors=authors)
        self.space = Space({name: Mask(tied[0].length) for name, tied in self._tied.items()})
        self._written: dict[str, list[Entry]] = {}
        self._read: dict[str, list[Entry]] = {}
        for name, tied in self._tied.items():
            for group in tied:
                for part in group.parts:
                    where = self._written if part.axis == "out" else self._read
                    where.setdefault(part.module, []).append((name, group, part.places))
        self._widths = self._wide()
        self._weights = filter_cost.weights(net, self._widths)
        self._cost = lru_cache(maxsize=1 << 14)(self._count)
        self._form = lru_cache(maxsize=None)(self._learned_form)
        self._skeleton: nn.Module | None = None

    @property
    def bits(self) -> int:
        """The length of the genome."""
        return sum(self._lengths())

    @property
    def filters(self) -> int:
        """How many filters the genome decides about: a bit decides about one in every layer that is tied to it."""
        named = [name for tied in self._tied.values() for group in tied for name, _ in group.writers(self.net)]
        return sum(channels_of(self.net.get_submodule(name))[1] for name in dict.fromkeys(named))

    def cut(self, genotype: Genotype) -> nn.Module:
        """The generator without the filters whose bits are 0: physically small, and sharing nothing with the whole."""
        keeps = {name: np.frombuffer(str(genotype[name]).encode(), np.uint8) == ord("1") for name in self._tied}
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
            if not isinstance(layer, Convolution | _NormBase):
                continue
            tensors = [(layer.weight, output_axis(layer)), (layer.bias, 0), (getattr(layer, "running_mean", None), 0)]
            for name, _, places in entries:
                gone = [place for place, bit in zip(places, str(genotype[name]), strict=True) if bit == "0"]
                for tensor, axis in tensors:
                    if tensor is not None:
                        tensor.index_fill_(axis, torch.tensor(gone, dtype=torch.long, device=tensor.device), 0.0)
        return net

    def share(self, genotype: Mapping[str, Any]) -> float:
        """N(p) of Eq. 10: the part of the convolutions' weights that stays."""
        left, whole = (filter_cost.at(self._weights, kept) for kept in (self._kept(genotype), self._lengths()))
        return int(left) / int(whole)

    def channels(self, genotype: Mapping[str, Any]) -> dict[str, list[int]]:
        """Module name to the input and output channels that stay, of every module that is cut."""
        h = np.array((1, *self._kept(genotype)), np.int64)
        cut = {*self._written, *self._read}
        return {name: [int(side @ h) for side in sides] for name, sides in self._widths.items() if name in cut}

    def described(self, genotype: Mapping[str, Any]) -> dict[str, Any]:
        """Options with which `build_generator(family, **options)` makes a network that takes the weights of `cut`."""
        if self.family is None:
            raise SlimgenError("only a generator of a family can be described")
        channels = self.channels(genotype)
        if ":" in self.family:
            return {**self.options, CHANNELS: channels}
        return described(self.family, self.options, lambda name: channels[name][1])

    def cost(self, genotype: Mapping[str, Any], height: int, width: int) -> Cost:
        """What the generator that is left costs: in closed form, under every convention.

        The form of a network of no family of slimgen's is learned from counting it; where none fits, it is counted.
        Only how many filters stay matters, so each such set of numbers is asked for once.
        """
        return self._cost(self._kept(genotype), height, width)

    def _count(self, kept: tuple[int, ...], height: int, width: int) -> Cost:
        if self.family is not None and not self._user_defined:
            return generator_cost(self.family, height, width, **self.described(self._first(kept)))
        form = self._form(height, width)
        if form is None:
            return counted(self._cut_bare(kept), height, width)
        return Cost(*filter_cost.at(form, kept).tolist())

    def _learned_form(self, height: int, width: int) -> filter_cost.Numbers | None:
        return filter_cost.cost(self._cut_bare, lambda net: counted(net, height, width), self._widths, self._lengths())

    def _cut_bare(self, kept: Sequence[int]) -> nn.Module:
        """The generator without numbers, with so many filters of each group."""
        with torch.device("meta"):
            if self._skeleton is None and self.family is not None:
                self._skeleton = UserDefined(self.family)(**self.options)
            elif self._skeleton is None:
                self._skeleton = without_numbers(self.net)
            return shaped(self._skeleton, self.channels(self._first(kept)))

    def strengths(self) -> dict[str, Tensor]:
        """The L1 norm of what each bit stands for: all filters at its place, summed."""
        found = {}
        for name, tied in self._tied.items():
            sums = torch.zeros(tied[0].length)
            for group in tied:
                for module, places in group.writers(self.net):
                    layer = self.net.get_submodule(module)
                    weight = layer.weight.detach().float().abs()  # type: ignore[operator]
                    norms = weight.sum([side for side in range(4) if side != output_axis(layer)]).cpu()
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

    def alike(self, genotype: Mapping[str, Any]) -> Genotype:
        """The first filters of every group, as many as take about as long in onnxruntime; of these there are few."""
        pairs = zip(self._kept(genotype), self._lengths(), strict=True)
        return Genotype(self._first([min(_alike(kept), length) for kept, length in pairs]))

    def sample(self, rng: random.Random) -> Genotype:
        """Each group keeps about the same part of its filters, drawn between none and all, as a budget leaves them."""
        part = rng.random()
        kept = [sum(rng.random() < part for _ in range(length)) for length in self._lengths()]
        return Genotype(self._first([max(1, count) for count in kept]))

    def _kept(self, genotype: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(str(genotype[name]).count("1") for name in self._tied)

    def _lengths(self) -> tuple[int, ...]:
        return tuple(tied[0].length for tied in self._tied.values())

    def _first(self, kept: Sequence[int]) -> dict[str, str]:
        """A genotype that keeps so many filters of each group."""
        each = zip(self._tied, kept, self._lengths(), strict=True)
        return {name: "1" * count + "0" * (length - count) for name, count, length in each}

    def _wide(self) -> filter_cost.Widths:
        """The channels of every convolution, norm and PReLU, as `filter_cost` writes them."""
        places = {name: place for place, name in enumerate(self._tied, 1)}

        def width(whole: int, entries: Iterable[Entry]) -> filter_cost.Numbers:
            row = np.zeros(1 + len(places), np.int64)
            row[0] = whole
            for name, group, _ in entries:
                row[0] -= group.length
                row[places[name]] += 1
            return row

        found = {}
        for name, layer in self.net.named_modules():
            if isinstance(layer, Convolution | _NormBase | nn.PReLU):
                inputs, outputs = channels_of(layer)
                written = width(outputs, self._written.get(name, ()))
                alone = not isinstance(layer, Convolution) or is_depthwise(layer)
                found[name] = (written if alone else width(inputs, self._read.get(name, ())), written)
        return found


def _alike(kept: int) -> int:
    """Multiples of 4 channels are computed in blocks of 16, below that as they are; others one by one, and slower."""
    if kept % 4 == 0:
        return kept if kept < _BLOCK else -(-kept // _BLOCK) * _BLOCK
    return kept // 4 * 4 + 2 if kept < _BLOCK else kept // 8 * 8 + 5


def _remaining(count: int, entries: Sequence[Entry], keeps: Mapping[str, Any]) -> Tensor | None:
    """The channels of so many that stay; None where no mask touches them."""
    if not entries:
        return None
    stay = np.ones(count, np.bool_)
    for name, _, places in entries:
        stay[np.asarray(places)[~keeps[name]]] = False
    return torch.from_numpy(np.flatnonzero(stay))
