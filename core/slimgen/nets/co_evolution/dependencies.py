"""Groups of filters that must be cut together, found by following the channels through one run of the network.

Layers whose outputs are added must keep the same filters, layers whose outputs are concatenated need not. A layer that
reads a cut channel loses the input. Channels that reach the network's output always stay. This is the dependency
graph of DepGraph (Fang et al., CVPR 2023), over channels rather than layers.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from slimgen.errors import SlimgenError
from slimgen.nets.co_evolution.layers import Convolution, Writer, convolutions, is_depthwise, twin
from slimgen.nets.co_evolution.marks import Marks
from slimgen.nets.co_evolution.tracing import RESHAPED, Tracing

Axis = Literal["out", "in"]
_SAID = 12  # the most layers that an error names
_READ = 64  # the most places at which a layer may read one filter


class Part(NamedTuple):
    """The channels of one module that belong to a group's filters: for each filter, the index of its channel.

    The axis says whether they are output channels (also of norms and depthwise convolutions) or input channels.
    """

    module: str
    axis: Axis
    places: tuple[int, ...]


class Group(NamedTuple):
    """Filters at the same index of several layers that must be kept or cut together, with all layers that use them.

    A group is named after the first layer that writes its channels, in the network's order; further groups of the same
    layer have a number behind the name.
    """

    name: str
    length: int
    parts: tuple[Part, ...]

    def writers(self, net: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
        """Return the layers that write the channels, with the indices of their outputs."""
        parts = [part for part in self.parts if part.axis == "out"]
        return [(part.module, part.places) for part in parts if isinstance(net.get_submodule(part.module), Writer)]


class Traced(NamedTuple):
    """What can be cut of a network: the groups of filters, and why each other layer stays whole, by its name."""

    groups: list[Group]
    pinned: Mapping[str, str]


def groups(net: nn.Module, example: Tensor) -> list[Group]:
    """Find the groups of filters that can be cut without changing the shape of the output.

    A group may include convolutions, linear layers, norms and PReLUs. PixelShuffle makes r x r neighbouring filters one
    channel, a GroupNorm ties the channels of each of its groups, a grouped convolution loses whole groups or the same
    channels of each.

    Args:
        net: any network.
        example: an input (1, C, H, W) to trace it with.

    Raises:
        SlimgenError: the network cannot be traced, a convolution's weights are computed from other tensors, or nothing
            can be cut.
    """
    found = trace(net, example)
    if not found.groups:
        raise uncut(net, found.pinned)
    return found.groups


def trace(net: nn.Module, example: Tensor) -> Traced:
    """Find the groups of filters that can be cut, and why the other layers stay whole; raises as `groups`."""
    _check_plain(net)
    plain = twin(net)
    tracing = Tracing(plain)
    try:
        tracing.run(plain, example.detach().to("cpu", torch.float32, memory_format=torch.contiguous_format))
    except Exception as error:  # a user's network may raise anything
        hint = "check the size of the images"
        raise SlimgenError("a network must be traceable to be cut", repr(error), hint) from error
    return _grouped(plain, tracing)


def uncut(net: nn.Module, whole: Mapping[str, str]) -> SlimgenError:
    """Return the error for a network in which nothing can be cut, given the reason for each layer."""
    got = said(whole) or "no convolution"
    return SlimgenError("a network to prune must have filters that can be cut", f"{type(net).__name__}: {got}")


def said(whole: Mapping[str, str]) -> str:
    """Return the first layers that stay whole, each with its reason, and how many more there are."""
    each = [f"{name} {why}" for name, why in list(whole.items())[:_SAID]]
    more = [f"and {len(whole) - _SAID} more layers"] if len(whole) > _SAID else []
    return ", ".join([*each, *more])


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


Uses = dict[tuple[str, Axis], list[int]]
"""Module and axis to the indices of its channels there."""


def _grouped(net: nn.Module, tracing: Tracing) -> Traced:
    """Gather channels that the same layers use in the same way into groups, each named after its first writer."""
    marks, uses, stays = tracing.marks, dict[int, Uses](), dict[int, str]()
    layers = {name: module for name, module in net.named_modules() if name in tracing.writes or name in tracing.reads}
    for name, layer in layers.items():
        sides: dict[Axis, Tensor] = {"out": tracing.writes[name]} if name in tracing.writes else {}
        if name in tracing.reads and not is_depthwise(layer):
            sides["in"] = tracing.reads[name]
        for axis, side in sides.items():
            for place, mark in enumerate(side.tolist()):
                uses.setdefault(marks.root(mark), {}).setdefault((name, axis), []).append(place)
        if isinstance(layer, Writer) and len(tracing.writes[name]) > 1:
            root, *others = {marks.root(mark) for mark in tracing.writes[name].tolist()}
            if not others:  # the layer would have no filters left
                whole = marks.pinned.get(root, "has filters that can only be cut all together")
                stays.setdefault(root, marks.mixed.get(root, whole))
    found: list[Group] = []
    pinned: dict[str, str] = {}
    seen: set[int] = set()
    for name, layer in net.named_modules():
        if not isinstance(layer, Writer):
            continue
        if name not in tracing.writes:
            if isinstance(layer, Convolution):
                pinned[name] = "is never run"
            continue
        roots = list(dict.fromkeys(marks.root(mark) for mark in tracing.writes[name].tolist()))
        reasons = {root: _why(root, marks, stays, uses[root]) for root in roots}
        free = [root for root in roots if reasons[root] is None]
        if not free:
            pinned[name] = str(reasons[roots[0]])
        found += _alike(name, [root for root in free if root not in seen], uses)
        seen.update(free)
    return Traced(found, pinned)


def _why(root: int, marks: Marks, stays: Mapping[int, str], uses: Uses) -> str | None:
    """Return why a channel stays, or None if it can be cut."""
    if root in marks.pinned or root in stays:
        return stays.get(root) or marks.pinned[root]
    if not any(axis == "in" for _, axis in uses):
        return "is read by no layer"
    if max(map(len, uses.values())) > _READ:
        return RESHAPED
    return None


def _alike(name: str, roots: Sequence[int], uses: Mapping[int, Uses]) -> list[Group]:
    """Return the groups of one writer's channels: those with as many places in the same layers are one group."""
    kinds: dict[tuple[tuple[str, Axis, int], ...], list[int]] = {}
    for root in roots:
        kind = tuple((module, axis, len(places)) for (module, axis), places in uses[root].items())
        kinds.setdefault(kind, []).append(root)
    found = []
    for number, (kind, members) in enumerate(kinds.items(), 1):
        parts = [
            Part(module, axis, tuple(uses[root][module, axis][column] for root in members))
            for module, axis, count in sorted(kind, key=lambda one: _order(kind, one))
            for column in range(count)
        ]
        found.append(Group(name if number == 1 else f"{name}:{number}", len(members), tuple(parts)))
    return found


def _order(kind: Sequence[tuple[str, Axis, int]], one: tuple[str, Axis, int]) -> tuple[int, str]:
    """Return the place of a part: in the network's order, inputs before outputs."""
    return next(place for place, other in enumerate(kind) if other[0] == one[0]), one[1]
