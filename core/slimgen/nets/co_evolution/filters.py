"""Generators with masks over their filters (Co-Evolutionary Compression, Shu et al., ICCV 2019, section 3.2, Eq. 9)."""

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
from slimgen.nets.co_evolution.dependencies import Group
from slimgen.nets.co_evolution.groups import described, filter_groups
from slimgen.nets.co_evolution.layers import Writer, by_output, channels_of, is_depthwise, silence
from slimgen.nets.user_defined import CHANNELS, UserDefined, counted
from slimgen.search import Genotype, Mask, Space

Entry = tuple[str, Group, tuple[int, ...]]
"""Channels of a module that a mask controls: the mask's dimension, one of its groups, and each filter's index."""
_BLOCK = 16  # channels that a CPU with AVX-512 computes at once


class FilterSpace:
    """A generator and the space of its masks: one mask per group of tied layers, one bit per filter.

    Args:
        net: the generator: one of slimgen's families, or any convolutional network. It is not changed.
        example: an input image (1, C, H, W), with which the network is traced.
        family: its family; needed to describe the cut generator. None if that is not needed.
        options: its options.
        authors: whether the trunk of a ResNet and the inside of all its blocks share one mask, as in the published
            code, where the genome of a ResNet with 64 channels has 640 bits. Otherwise each block has its own mask.

    Attributes:
        space: dimensions such as `filter.model-1`, named after the layer that writes the channels, with - for dots.
        pinned: the layers that stay whole, by name, each with the reason.

    Raises:
        SlimgenError: nothing can be cut.
        RecipeError: `authors` is set, and the network is not a ResNet whose blocks are as wide as its trunk.
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
        user_defined = self._user_defined
        self._tied, self.pinned = filter_groups(net, example, user_defined=user_defined, authors=authors)
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
        """The number of filters that the genome controls: one bit controls a filter in each of its tied layers."""
        named = [name for tied in self._tied.values() for group in tied for name, _ in group.writers(self.net)]
        return sum(channels_of(self.net.get_submodule(name))[1] for name in dict.fromkeys(named))

    def cut(self, genotype: Genotype) -> nn.Module:
        """Return the generator without the filters whose bits are 0: physically small, sharing no weights."""
        return narrowed(self.net, self.kept(genotype))

    def kept(self, genotype: Genotype) -> dict[str, Kept]:
        """Return the channels that each module keeps, on the network's device, by the module's name."""
        keeps = {name: np.frombuffer(str(genotype[name]).encode(), np.uint8) == ord("1") for name in self._tied}
        device = next(self.net.parameters()).device
        kept: dict[str, Kept] = {}
        for module in dict.fromkeys((*self._written, *self._read)):
            widths = channels_of(self.net.get_submodule(module))
            inputs = _remaining(widths[0], self._read.get(module, ()), keeps)
            outputs = _remaining(widths[1], self._written.get(module, ()), keeps)
            kept[module] = Kept(*(None if each is None else each.to(device) for each in (outputs, inputs)))
        return kept

    @torch.no_grad()
    def masked(self, genotype: Genotype) -> nn.Module:
        """Return the whole generator with these filters, their biases and the norms after them zeroed, as published.

        It computes the same as `cut` if all operations between the layers map zero to zero, but it is no faster.
        """
        net = copy.deepcopy(self.net)
        for module, entries in self._written.items():
            layer = net.get_submodule(module)
            for name, _, places in entries:
                gone = [place for place, bit in zip(places, str(genotype[name]), strict=True) if bit == "0"]
                if isinstance(layer, Writer):
                    silence(layer, gone)
                elif not isinstance(layer, nn.GroupNorm | _NormBase):
                    continue
                norm = None if isinstance(layer, Writer) else layer.weight
                for tensor in (norm, layer.bias, getattr(layer, "running_mean", None)):
                    if tensor is not None:
                        tensor.index_fill_(0, torch.tensor(gone, dtype=torch.long, device=tensor.device), 0.0)
        return net

    def share(self, genotype: Mapping[str, Any]) -> float:
        """Return N(p) of Eq. 10: the fraction of the convolutions' weights that is kept."""
        left, whole = (filter_cost.at(self._weights, kept) for kept in (self._kept(genotype), self._lengths()))
        return int(left) / int(whole)

    def channels(self, genotype: Mapping[str, Any]) -> dict[str, list[int]]:
        """Return the number of input and output channels that each cut module keeps, by its name."""
        cut = {*self._written, *self._read}
        return {name: sides for name, sides in self._sides(genotype).items() if name in cut}

    def _sides(self, genotype: Mapping[str, Any]) -> dict[str, list[int]]:
        """Return the number of input and output channels that each module keeps, whether it is cut or not."""
        h = np.array((1, *self._kept(genotype)), np.int64)
        return {name: [int(side @ h) for side in sides] for name, sides in self._widths.items()}

    def described(self, genotype: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options with which `build_generator` builds a network that can load the weights of `cut`."""
        if self.family is None:
            raise SlimgenError("only a generator with a family can be described")
        if ":" in self.family:
            return {**self.options, CHANNELS: self.channels(genotype)}
        sides = self._sides(genotype)
        return described(self.family, self.options, lambda name: sides[name][1])

    def cost(self, genotype: Mapping[str, Any], height: int, width: int) -> Cost:
        """Return the cut generator's cost in closed form, under every convention.

        For a user-defined network the form is derived by counting; where none fits, each cost is counted. The cost
        depends only on the numbers of kept filters, so results are cached by these.
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
        """Return the generator on the meta device, with this number of filters in each group."""
        with torch.device("meta"):
            if self._skeleton is None and self.family is not None:
                self._skeleton = UserDefined(self.family)(**self.options)
            elif self._skeleton is None:
                self._skeleton = without_numbers(self.net)
            return shaped(self._skeleton, self.channels(self._first(kept)))

    def strengths(self) -> dict[str, Tensor]:
        """Return the L1 norm of each bit's filters, summed over all tied layers."""
        found = {}
        for name, tied in self._tied.items():
            sums = torch.zeros(tied[0].length)
            for group in tied:
                for module, places in group.writers(self.net):
                    layer = self.net.get_submodule(module)
                    assert isinstance(layer, Writer)
                    norms = by_output(layer).detach().float().abs().sum(1).cpu()
                    sums += norms[list(places)]
            found[name] = sums
        return found

    def strongest(self, part: float) -> Genotype:
        """Prune by magnitude: keep the strongest filters, the same fraction of every group and at least one."""
        return self.first(part, self.ranked())

    def ranked(self) -> dict[str, list[int]]:
        """Return the filters of each dimension by magnitude, strongest first."""
        return {
            name: torch.argsort(strength, descending=True, stable=True).tolist()
            for name, strength in self.strengths().items()
        }

    def first(self, part: float, orders: Mapping[str, Sequence[int]]) -> Genotype:
        """Keep the first filters of an order, the same fraction of every group and at least one."""
        values: dict[str, str] = {}
        for name, order in orders.items():
            stay = set(order[: max(1, math.ceil(part * len(order)))])
            values[name] = "".join("1" if place in stay else "0" for place in range(len(order)))
        return Genotype(values)

    def readers(self) -> dict[str, dict[str, list[tuple[int, ...]]]]:
        """Return the dense layers that read filters: for each dimension, the input channels of each filter."""
        found: dict[str, dict[str, list[tuple[int, ...]]]] = {}
        for module, entries in self._read.items():
            if getattr(self.net.get_submodule(module), "groups", 1) > 1:
                continue
            for name, _, places in entries:
                each = found.setdefault(module, {}).setdefault(name, [()] * len(places))
                found[module][name] = [(*seen, place) for seen, place in zip(each, places, strict=True)]
        return found

    def alike(self, genotype: Mapping[str, Any]) -> Genotype:
        """Return a genotype that takes about as long in onnxruntime, one of a few representatives."""
        pairs = zip(self._kept(genotype), self._lengths(), strict=True)
        return Genotype(self._first([min(_alike(kept), length) for kept, length in pairs]))

    def sample(self, rng: random.Random) -> Genotype:
        """Draw a genotype whose groups keep about the same fraction of their filters, as they do under a budget."""
        part = rng.random()
        kept = [sum(rng.random() < part for _ in range(length)) for length in self._lengths()]
        return Genotype(self._first([max(1, count) for count in kept]))

    def _kept(self, genotype: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(str(genotype[name]).count("1") for name in self._tied)

    def _lengths(self) -> tuple[int, ...]:
        return tuple(tied[0].length for tied in self._tied.values())

    def _first(self, kept: Sequence[int]) -> dict[str, str]:
        """Return a genotype that keeps this number of filters in each group."""
        each = zip(self._tied, kept, self._lengths(), strict=True)
        return {name: "1" * count + "0" * (length - count) for name, count, length in each}

    def _wide(self) -> filter_cost.Widths:
        """Return the channels of every layer that can be cut, in the notation of `filter_cost`."""
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
            if isinstance(layer, Writer | _NormBase | nn.GroupNorm | nn.PReLU):
                inputs, outputs = channels_of(layer)
                written = width(outputs, self._written.get(name, ()))
                alone = not isinstance(layer, Writer) or is_depthwise(layer)
                found[name] = (written if alone else width(inputs, self._read.get(name, ())), written)
        return found


def _alike(kept: int) -> int:
    """Return a number of channels that takes as long: multiples of 4 run in blocks of 16, other numbers slower."""
    if kept % 4 == 0:
        return kept if kept < _BLOCK else -(-kept // _BLOCK) * _BLOCK
    return kept // 4 * 4 + 2 if kept < _BLOCK else kept // 8 * 8 + 5


def _remaining(count: int, entries: Sequence[Entry], keeps: Mapping[str, Any]) -> Tensor | None:
    """Return the indices of the kept channels, out of `count`; None where no mask covers them."""
    if not entries:
        return None
    stay = np.ones(count, np.bool_)
    for name, _, places in entries:
        stay[np.asarray(places)[~keeps[name]]] = False
    return torch.from_numpy(np.flatnonzero(stay))
