"""Generators whose masked filters are zeroed and not cut, as published: to check cut ones by."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from slimgen.nets.co_evolution.dependencies import Convolution, output_axis
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.search import Genotype


@torch.no_grad()
def zeroed(filters: FilterSpace, genotype: Genotype) -> nn.Module:
    """The whole generator with the filters whose bits are 0, their biases and the norms after them set to zero.

    It computes what `FilterSpace.cut` does wherever what lies between the layers maps zero to zero, but no faster.
    """
    net = copy.deepcopy(filters.net)
    for module, entries in filters._written.items():
        layer = net.get_submodule(module)
        for name, _, places in entries:
            gone = [place for place, bit in zip(places, str(genotype[name]), strict=True) if bit == "0"]
            for tensor, axis in tensors_by_channel(layer):
                tensor.index_fill_(axis, torch.tensor(gone, dtype=torch.long, device=tensor.device), 0.0)
    return net


def tensors_by_channel(layer: nn.Module) -> list[tuple[Tensor, int]]:
    """A layer's tensors that belong to its output channels, and the axis of these."""
    if isinstance(layer, Convolution):
        found = [(layer.weight, output_axis(layer)), (layer.bias, 0)]
    elif isinstance(layer, _NormBase):
        found = [(layer.weight, 0), (layer.bias, 0), (layer.running_mean, 0)]
    else:
        found = []
    return [(tensor.data, axis) for tensor, axis in found if tensor is not None]
