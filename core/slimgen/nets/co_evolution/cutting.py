"""Narrowed copies of networks, in which some modules keep only some of their channels."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets.co_evolution.layers import Convolution, by_groups, channels_of, is_depthwise, output_axis


class Kept(NamedTuple):
    """The channels that a module keeps, ascending; None is all. Norms and depthwise convolutions have only outputs."""

    outputs: Tensor | None = None
    inputs: Tensor | None = None


def narrowed(net: nn.Module, kept: Mapping[str, Kept]) -> nn.Module:
    """Copy a network, with fewer channels in some of its modules (convolutions, linear layers, norms, PReLUs).

    The copy is of the same class and shares nothing with the original; channels that are cut are never copied.

    Raises:
        SlimgenError: a module is of another kind, or two modules share weights and are cut differently.
    """
    swapped: dict[int, Any] = {}
    for name, channels in kept.items():
        for tensor, small in _pieces(name, net.get_submodule(name), channels):
            if id(tensor) in swapped and swapped[id(tensor)].shape != small.shape:
                raise SlimgenError("modules that share weights must keep the same channels", name)
            swapped[id(tensor)] = small
    # The memo of `deepcopy` already holds the small tensors, so the whole ones are never copied.
    small_net: nn.Module = copy.deepcopy(net, swapped)
    for name, channels in kept.items():
        _declare(small_net.get_submodule(name), channels)
    return small_net


def without_numbers(net: nn.Module) -> nn.Module:
    """Copy a network to the meta device; unlike with `.to("meta")`, shared weights stay shared."""
    bare: dict[int, Any] = {id(tensor): tensor.to("meta") for tensor in net.buffers()}
    for weights in net.parameters():
        bare[id(weights)] = nn.Parameter(weights.detach().to("meta"), requires_grad=weights.requires_grad)
    copied: nn.Module = copy.deepcopy(net, bare)
    return copied


def _pieces(name: str, module: nn.Module, kept: Kept) -> list[tuple[Tensor, Tensor]]:
    """Return the tensors of a module, each with its kept part."""
    found: list[tuple[Tensor, Tensor]] = []
    if isinstance(module, Convolution):
        found.append((module.weight, _kernel(module, kept)))
        vectors = [module.bias]
    elif isinstance(module, nn.Linear):
        weight = module.weight if kept.outputs is None else module.weight.index_select(0, kept.outputs)
        found.append((module.weight, weight if kept.inputs is None else weight.index_select(1, kept.inputs)))
        vectors = [module.bias]
    elif isinstance(module, nn.GroupNorm):
        vectors = [module.weight, module.bias]
    elif isinstance(module, _NormBase):
        vectors = [module.weight, module.bias, module.running_mean, module.running_var]
    elif isinstance(module, nn.PReLU):
        vectors = [module.weight] if module.num_parameters > 1 else []
    else:
        rule = "only convolutions, linear layers, norms and PReLUs can be cut"
        raise SlimgenError(rule, f"{type(module).__name__} {name}")
    for vector in vectors:
        if vector is not None and kept.outputs is not None:
            found.append((vector, vector.index_select(0, kept.outputs)))
    return [(whole, _fresh(part, whole)) for whole, part in found]


def _kernel(module: Convolution, kept: Kept) -> Tensor:
    """Return the weights of a convolution that stay; a grouped one loses whole groups, or the same of each group."""
    axis, weight = output_axis(module), module.weight
    if module.groups == 1 or is_depthwise(module):
        sides = [(axis, kept.outputs)] if module.groups > 1 else [(axis, kept.outputs), (1 - axis, kept.inputs)]
    else:
        first, second = (kept.inputs, kept.outputs) if axis else (kept.outputs, kept.inputs)
        if by_groups(module):
            second = None
        elif second is not None:  # the same places in each group, so those of the first
            second = second[: len(second) // module.groups]
        sides = [(0, first), (1, second)]
    for side, places in sides:
        if places is not None:
            weight = weight.index_select(side, places)
    return weight


def _fresh(part: Tensor, like: Tensor) -> Tensor:
    """Return a new parameter or buffer in the original's memory layout."""
    layout = torch.preserve_format
    if like.dim() == 4:
        last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
        layout = torch.channels_last if last else torch.contiguous_format
    small = part.detach().clone(memory_format=layout)
    return nn.Parameter(small, requires_grad=like.requires_grad) if isinstance(like, nn.Parameter) else small


def _declare(module: nn.Module, kept: Kept) -> None:
    """Set a module's numbers of channels to those of its weights."""
    outputs = None if kept.outputs is None else len(kept.outputs)
    inputs = None if kept.inputs is None else len(kept.inputs)
    if isinstance(module, Convolution):
        if is_depthwise(module):
            module.groups = module.in_channels = module.out_channels = outputs or module.out_channels
        else:
            if by_groups(module):
                module.groups = (inputs or module.in_channels) * module.groups // module.in_channels
            module.out_channels, module.in_channels = outputs or module.out_channels, inputs or module.in_channels
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = outputs or module.out_features, inputs or module.in_features
    elif isinstance(module, nn.GroupNorm):
        kept_channels = outputs or module.num_channels
        module.num_groups = module.num_groups * kept_channels // module.num_channels
        module.num_channels = kept_channels
    elif isinstance(module, _NormBase):
        module.num_features = outputs or module.num_features
    elif isinstance(module, nn.PReLU) and module.num_parameters > 1:
        module.num_parameters = outputs or module.num_parameters


Channels = Mapping[str, Sequence[int]]
"""Module name to its input and output channels (equal for norms): the shape of a narrowed network."""


def shaped(net: nn.Module, channels: Channels) -> nn.Module:
    """Return a network with the first channels of each module: this rebuilds the layout of a cut network.

    Raises:
        RecipeError: a module is unknown, or has fewer channels than asked for.
    """
    kept: dict[str, Kept] = {}
    modules = dict(net.named_modules())
    for name, (inputs, outputs) in channels.items():
        module = modules.get(name)
        if module is None:
            raise RecipeError("channels must name modules of the network", repr(name))
        have = channels_of(module)
        if not (1 <= inputs <= have[0] and 1 <= outputs <= have[1]):
            raise RecipeError(f"channels of {name} must be at most {list(have)}, and at least 1", [inputs, outputs])
        kept[name] = Kept(_first(module, outputs, have[1]), _first(module, inputs, have[0]))
    return narrowed(net, kept)


def _first(module: nn.Module, count: int, whole: int) -> Tensor:
    """Return the first channels of a module, or of each group of a convolution that is cut alike in every group."""
    if isinstance(module, Convolution) and module.groups > 1 and not by_groups(module):
        groups = module.groups
        return (torch.arange(groups)[:, None] * (whole // groups) + torch.arange(count // groups)).flatten()
    return torch.arange(count)
