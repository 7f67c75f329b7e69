"""Groups of filters that must be cut together, found by tracing with Torch-Pruning (Fang et al., CVPR 2023).

Layers whose outputs are added must keep the same filters, layers whose outputs are concatenated need not. A layer that
reads a cut channel loses the input. Channels that reach the network's output always stay.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from slimgen.errors import SlimgenError

Convolution = nn.Conv2d | nn.ConvTranspose2d
Axis = Literal["out", "in"]
_SAID = 12  # the most layers that an error names


class Part(NamedTuple):
    """The channels of one module that belong to a group's filters: for each filter, the index of its channel.

    The axis says whether they are output channels (also of norms and depthwise convolutions) or input channels.
    """

    module: str
    axis: Axis
    places: tuple[int, ...]


class Group(NamedTuple):
    """Filters at the same index of several layers that must be kept or cut together, with all layers that use them.

    A group is named after the first convolution that writes its channels, in the network's order.
    """

    name: str
    length: int
    parts: tuple[Part, ...]

    def writers(self, net: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
        """Return the convolutions that write the channels, with the indices of their outputs."""
        parts = [part for part in self.parts if part.axis == "out"]
        return [(part.module, part.places) for part in parts if isinstance(net.get_submodule(part.module), Convolution)]


def groups(net: nn.Module, example: Tensor) -> list[Group]:
    """Find the groups of filters that can be cut without changing the shape of the output.

    A group may include convolutions (dense, depthwise or transposed), per-channel norms and PReLUs. A group that also
    includes a fully connected layer, a norm over several channels or a bare parameter cannot be cut.

    Args:
        net: any network.
        example: an input (1, C, H, W) to trace it with.

    Raises:
        SlimgenError: the network cannot be traced, a convolution's weights are computed from other tensors, or nothing
            can be cut.
    """
    _check_plain(net)
    import torch_pruning  # only used here

    traced = _Framed(net, example.shape[1])
    example = example.detach().to("cpu", torch.float32, memory_format=torch.contiguous_format)
    graph = torch_pruning.DependencyGraph()
    try:
        with torch.enable_grad():
            graph.build_dependency(traced, example_inputs=example, verbose=False)
    except Exception as error:  # a user's network may raise anything
        hint = "check the size of the images"
        raise SlimgenError("a network must be traceable to be cut", repr(error), hint) from error
    _bound(graph, traced)
    names = {module: name for name, module in traced.net.named_modules()}
    found: list[Group] = []
    seen: set[str] = set()
    whole: dict[str, str] = {}
    for name, module in convolutions(traced.net):
        if name in seen:
            continue
        try:
            group = _group(graph, module, names)
        except _WholeError as error:
            whole[name] = str(error)
            continue
        seen.update(part.module for part in group.parts if part.axis == "out")
        found.append(group)
    if not found:
        raise uncut(net, whole)
    return found


def uncut(net: nn.Module, whole: Mapping[str, str]) -> SlimgenError:
    """Return the error for a network in which nothing can be cut, given the reason for each layer."""
    said = [f"{name} {why}" for name, why in list(whole.items())[:_SAID]]
    more = [f"and {len(whole) - _SAID} more layers"] if len(whole) > _SAID else []
    got = ", ".join([*said, *more]) or "no convolution"
    return SlimgenError("a network to prune must have filters that can be cut", f"{type(net).__name__}: {got}")


def _check_plain(net: nn.Module) -> None:
    """Raise SlimgenError where a convolution's weights are computed from other tensors before it runs."""
    rule = "only plain convolutions can be pruned"
    for name, module in convolutions(net):
        if parametrize.is_parametrized(module):
            hint = "remove the parametrization first (torch.nn.utils.parametrize.remove_parametrizations)"
            raise SlimgenError(rule, f"a parametrization of {name}", hint)
        if "weight" not in module._parameters:  # the old weight_norm and spectral_norm, which are hooks
            hint = "remove the hook first (torch.nn.utils.remove_weight_norm or remove_spectral_norm)"
            raise SlimgenError(rule, f"a hook that computes the weights of {name}", hint)


class _Framed(nn.Module):
    """A copy of a network with a layer in front of it, so that the tracing sees the channels of the images."""

    def __init__(self, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(channels, channels, 1)
        nn.init.dirac_(self.entry.weight)
        plain = copy.deepcopy(net).to("cpu", torch.float32, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for parent in plain.modules():
            for name, child in parent._modules.items():
                # A PReLU with a single parameter is replaced: the tracing expects one per channel.
                if isinstance(child, nn.PReLU) and child.num_parameters == 1:
                    parent._modules[name] = nn.LeakyReLU()
        self.net = plain.eval().requires_grad_(True)  # the tracing follows gradients, so all parameters need them

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.net(self.entry(images))
        return out


class _WholeError(Exception):
    """The filters of a convolution cannot be cut; the message is the reason, as the end of a sentence about it."""


_RESHAPED = "passes a reshape that mixes its channels with others"


class _Bounded(list[Any]):
    """Maps of channels from layer to layer, with a limit: past some reshapes they would grow without end."""

    limit: int

    def __iter__(self) -> Iterator[Any]:
        return iter([mapping and self._bounded(mapping) for mapping in super().__iter__()])

    def _bounded(self, mapping: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
        def bounded(places: list[Any]) -> list[Any]:
            found = mapping(places)
            if len(found) > self.limit or any(place.idx >= self.limit for place in found):
                raise _WholeError(_RESHAPED)
            return found

        return bounded


def _bound(graph: Any, net: nn.Module) -> None:
    """Limit every channel map of a traced network to the number of channels of all its layers together."""
    limit = sum(sum(channels_of(module)) for module in net.modules())
    for node in graph.module2node.values():
        for dependency in node.dependencies:
            dependency.index_mapping = _Bounded(dependency.index_mapping)
            dependency.index_mapping.limit = limit


def _group(graph: Any, module: Convolution, names: dict[nn.Module, str]) -> Group:
    """Return the group of a convolution's outputs; raise _WholeError where part of the group cannot be cut."""
    if module not in graph.module2node:
        raise _WholeError("is never run")
    prune = graph.get_pruner_of_module(module).prune_out_channels
    length = module.out_channels

    def hanging(filters: list[int]) -> Iterator[tuple[object, Axis, list[int]]]:
        for dependency, places in graph.get_pruning_group(module, prune, filters):
            outputs = graph.is_out_channel_pruning_fn(dependency.handler)
            yield dependency.target.module, "out" if outputs else "in", [int(place) for place in places]

    parts: dict[Part, None] = {}
    each: list[dict[tuple[int, Axis], list[int]]] = []
    for target, axis, places in hanging(list(range(length))):
        if isinstance(target, nn.Parameter):
            raise _WholeError("is combined with a parameter that belongs to no layer")
        if type(target).__name__ == "_OutputOp":
            raise _WholeError("makes the output")
        if not isinstance(target, nn.Module) or type(target).__module__ == "torch_pruning.ops":
            continue  # an operation between layers
        if target not in names:
            raise _WholeError("is added to the input images")
        if not _simple(target, axis, places):
            raise _WholeError(_why(target, names[target], axis, places, module))
        if len(places) == length:
            parts[Part(names[target], axis, tuple(places))] = None
            continue
        if len(places) % length:
            raise _WholeError(_RESHAPED)
        # A layer that reads each filter more than once, such as a trunk that is concatenated with itself.
        each = each or [_apart(hanging([one])) for one in range(length)]
        columns = [found.get((id(target), axis), []) for found in each]
        if len({len(column) for column in columns}) > 1:
            raise _WholeError(_RESHAPED)
        for column in zip(*columns, strict=True):
            parts[Part(names[target], axis, column)] = None
    if not any(part.axis == "in" for part in parts):
        raise _WholeError("makes the output")
    order = {name: place for place, name in enumerate(names.values())}
    ordered = sorted(parts, key=lambda part: (order[part.module], part.axis))
    layers = {name: layer for layer, name in names.items()}
    first = next(part.module for part in ordered if part.axis == "out" and isinstance(layers[part.module], Convolution))
    return Group(first, length, tuple(ordered))


def _apart(hanging: Iterable[tuple[object, Axis, list[int]]]) -> dict[tuple[int, Axis], list[int]]:
    """Return (module id, axis) to the indices there, ascending within each visit of the module."""
    found: dict[tuple[int, Axis], list[int]] = {}
    for target, axis, places in hanging:
        found.setdefault((id(target), axis), []).extend(sorted(places))
    return found


def _simple(module: nn.Module, axis: Axis, places: Sequence[int]) -> bool:
    """Return whether a module's channels can be cut one by one, and the indices are valid and distinct."""
    if isinstance(module, Convolution) and not (module.groups == 1 or (axis == "out" and is_depthwise(module))):
        return False
    # Past a reshape the tracing may give invalid indices; modules of other kinds have no channels.
    return max(places) < channels_of(module)[axis == "out"] and len(set(places)) == len(places)


def _why(target: nn.Module, name: str, axis: Axis, places: Sequence[int], of: nn.Module) -> str:
    """Return why a module's channels cannot be cut one by one, as the end of a sentence about the convolution `of`."""
    if isinstance(target, Convolution) and target.groups > 1:
        return "is grouped" if target is of else f"is tied to {name}, which is grouped"
    if channels_of(target) == (0, 0):
        return f"{'is tied to' if axis == 'out' else 'is read by'} {name}, a {type(target).__name__}"
    return _RESHAPED


def channels_of(module: nn.Module) -> tuple[int, int]:
    """Return the input and output channels of a convolution, norm or PReLU; (0, 0) for any other module."""
    if isinstance(module, Convolution):
        return module.in_channels, module.out_channels
    width = module.num_features if isinstance(module, _NormBase) else 0
    if isinstance(module, nn.PReLU):
        width = module.num_parameters
    return width, width


def is_depthwise(module: nn.Module) -> bool:
    """Return whether this is a convolution with one filter per channel."""
    return isinstance(module, Convolution) and 1 < module.groups == module.in_channels == module.out_channels


def output_axis(module: nn.Module) -> int:
    """Return the output axis of a convolution's weight."""
    return 1 if isinstance(module, nn.ConvTranspose2d) and not is_depthwise(module) else 0


def convolutions(net: nn.Module) -> Iterator[tuple[str, Convolution]]:
    """Yield all convolutions of a network, by name."""
    for name, module in net.named_modules():
        if isinstance(module, Convolution):
            yield name, module
