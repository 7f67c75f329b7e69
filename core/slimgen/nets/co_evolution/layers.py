"""The layers whose channels can be cut: convolutions, linear layers, norms and PReLUs."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

Convolution = nn.Conv2d | nn.ConvTranspose2d
Writer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
"""Layers whose outputs are new channels."""


def channels_of(module: nn.Module) -> tuple[int, int]:
    """Return the input and output channels of a convolution, linear layer, norm or PReLU; (0, 0) for another module."""
    if isinstance(module, Convolution):
        return module.in_channels, module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    width = module.num_features if isinstance(module, _NormBase) else 0
    if isinstance(module, nn.GroupNorm):
        width = module.num_channels
    if isinstance(module, nn.PReLU):
        width = module.num_parameters if module.num_parameters > 1 else 0
    return width, width


def is_depthwise(module: nn.Module) -> bool:
    """Return whether this is a convolution with one filter per channel."""
    return isinstance(module, Convolution) and 1 < module.groups == module.in_channels == module.out_channels


def by_groups(module: nn.Module) -> bool:
    """Return whether a grouped convolution loses whole groups; others lose the same channels of each group.

    Both are exact; a convolution is cut in the way that leaves the finer choice.
    """
    return isinstance(module, Convolution) and 1 < module.groups >= module.in_channels // module.groups


def output_axis(module: nn.Module) -> int:
    """Return the output axis of a convolution's weight."""
    return 1 if isinstance(module, nn.ConvTranspose2d) and not is_depthwise(module) else 0


def convolutions(net: nn.Module) -> Iterator[tuple[str, Convolution]]:
    """Yield all convolutions of a network, by name."""
    for name, module in net.named_modules():
        if isinstance(module, Convolution):
            yield name, module


def writers(net: nn.Module) -> Iterator[tuple[str, Convolution | nn.Linear]]:
    """Yield all convolutions and linear layers of a network, by name."""
    for name, module in net.named_modules():
        if isinstance(module, Writer):
            yield name, module


def by_output(layer: Convolution | nn.Linear) -> Tensor:
    """Return a view of a layer's weights with the outputs first: (outputs, weights of each)."""
    weight = layer.weight
    if not isinstance(layer, nn.ConvTranspose2d):
        return weight.flatten(1)
    grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])  # (groups, inputs, outputs, *kernel) of each group
    return grouped.transpose(1, 2).flatten(0, 1).flatten(1)


@torch.no_grad()
def silence(layer: nn.Module, places: list[int], inputs: bool = False) -> None:
    """Set the weights of some of a layer's outputs, or of some of its inputs, to zero in place."""
    if isinstance(layer, nn.Linear):
        gone = torch.tensor(places, dtype=torch.long, device=layer.weight.device)
        layer.weight.index_fill_(int(inputs), gone, 0.0)
    elif isinstance(layer, Convolution):
        transposed = isinstance(layer, nn.ConvTranspose2d)
        weight, count = layer.weight.data, layer.in_channels if inputs else layer.out_channels
        each = count // layer.groups
        if transposed != inputs:  # the channels lie on the second axis, counted within their group
            shape = (layer.groups, -1, *weight.shape[1:])
            grouped = weight.view(shape)
            for place in places:
                grouped[place // each, :, place % each] = 0.0
        else:
            weight[places] = 0.0


def twin(net: nn.Module) -> nn.Module:
    """Return a copy of a network on the CPU, in float32 and evaluation mode."""
    copied: nn.Module = copy.deepcopy(net).to("cpu", torch.float32, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return copied.eval()
