"""Costs of pruned networks as quadratic forms in the number of filters that each mask keeps.

The weights and operations of a convolution are proportional to input channels times output channels, those of a norm
to its channels. Each number of channels is a sum over masks plus the channels that no mask covers. So with
h = (1, kept filters of each mask), each number of a `Cost` is h^T Q h; Q is found by running the network once.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from slimgen.cost.formula import Cost
from slimgen.nets.co_evolution.dependencies import Convolution, channels_of, convolutions, is_depthwise

Numbers = npt.NDArray[np.int64]
Widths = Mapping[str, tuple[Numbers, Numbers]]
"""Module name to its input and output channels, each as a vector w such that w . h is their number."""
_LEAKY = " leaky"  # no name of a module has a space
_TRIED = 4  # random masks at which the form must agree with counting


def at(form: Numbers, kept: Sequence[int]) -> Numbers:
    """Evaluate a form (..., 1 + masks, 1 + masks) at the number of filters that each mask keeps."""
    h = np.array((1, *kept), np.int64)
    value: Numbers = form @ h @ h
    return value


def weights(net: nn.Module, widths: Widths) -> Numbers:
    """Return the form (1 + masks, 1 + masks) of the number of the convolutions' weights, without biases."""
    return np.asarray(sum(_weights(name, layer, widths) for name, layer in convolutions(net)))


def cost(
    cut: Callable[[Sequence[int]], nn.Module],
    counted: Callable[[nn.Module], Cost],
    widths: Widths,
    lengths: Sequence[int],
) -> Numbers | None:
    """Return the form (numbers of a Cost, 1 + masks, 1 + masks) of a network's cost, or None where no form fits.

    No form fits where operations outside of convolutions depend on products of widths, such as attention between
    channels.

    Args:
        cut: the numbers of filters that the masks keep, to the network cut to them.
        counted: a network to its cost by counting, with which the form must agree.
        widths: of the network's convolutions, norms and PReLUs.
        lengths: the number of filters under each mask.
    """
    net = cut(lengths)
    with _pixels(net) as pixels:
        whole = np.array(counted(net), np.int64)
    form = np.zeros((len(Cost._fields), 1 + len(lengths), 1 + len(lengths)), np.int64)
    _add_parameters(form, net, widths)
    _add_operations(form, net, widths, pixels)
    rng = random.Random(0)
    tried = [[1] * len(lengths), *([rng.randint(1, length) for length in lengths] for _ in range(_TRIED))]
    truth = [np.array(counted(cut(kept)), np.int64) for kept in tried]

    def holds() -> bool:
        return all(np.array_equal(at(form, kept), wanted) for kept, wanted in zip(tried, truth, strict=True))

    form[:, 0, 0] += whole - at(form, lengths)  # the part that no mask changes
    if holds():
        return form
    for mask, length in enumerate(lengths):  # operations outside of modules, elementwise ones: one width each
        if length == 1:
            continue
        kept = [1 if other == mask else full for other, full in enumerate(lengths)]
        slope = (at(form, kept) - np.array(counted(cut(kept)), np.int64)) // (length - 1)
        form[:, 0, 1 + mask] += slope
        form[:, 0, 0] -= slope * length
    return form if holds() else None


@contextmanager
def _pixels(net: nn.Module) -> Iterator[dict[str, list[tuple[int, int]]]]:
    """Record the pixels that each convolution and norm, by name, reads and writes at each call.

    A LeakyReLU has no channels of its own, so its pixels are recorded as `leaky`, behind the name of the module that
    wrote its input; one whose input no such module wrote is left out.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    written: dict[int, tuple[str, Tensor]] = {}  # the tensor is held, so that its id is not given to another

    def watch(name: str, reads: int, writes: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            if given:
                found.setdefault(name, []).append((given[0].numel() // reads, out.numel() // writes))
                written[id(out)] = name, out

        return hook

    def watch_leaky(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        if given and id(given[0]) in written:
            name = written[id(given[0])][0]
            found.setdefault(f"{name}{_LEAKY}", []).append((0, found[name][-1][1]))

    hooks = []
    for name, module in net.named_modules():
        if isinstance(module, nn.LeakyReLU):
            hooks.append(module.register_forward_hook(watch_leaky))
        elif isinstance(module, Convolution | _NormBase):
            hooks.append(module.register_forward_hook(watch(name, *channels_of(module))))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _weights(name: str, layer: Convolution, widths: Widths) -> Numbers:
    inputs, outputs = widths[name]
    one = np.eye(1, len(inputs), dtype=np.int64)[0]
    read = one if is_depthwise(layer) else inputs // layer.groups  # grouped convolutions are never cut
    return np.outer(read, outputs) * math.prod(layer.kernel_size)


def _add_parameters(form: Numbers, net: nn.Module, widths: Widths) -> None:
    """Add the parameters of convolutions, norms and PReLUs; shared ones count once."""
    params, seen = form[0], set()
    for name in widths:
        module = net.get_submodule(name)
        for parameter in module.parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if isinstance(module, Convolution) and parameter is module.weight:
                params += _weights(name, module, widths)
            else:
                params[0] += widths[name][1]


def _add_operations(form: Numbers, net: nn.Module, widths: Widths, pixels: Mapping[str, list[tuple[int, int]]]) -> None:
    """Add the operations of convolutions, norms and LeakyReLUs, under each convention."""
    _, exact, torchprofile, gan_compression, thop = form
    for place, calls in pixels.items():
        name = place.removesuffix(_LEAKY)
        module = net.get_submodule(name)
        for read, written in calls:
            if place != name:
                thop[0] += widths[name][1] * written
            elif isinstance(module, Convolution):
                each = _weights(name, module, widths)
                thop += each * written
                thop[0] += widths[name][1] * (written if module.bias is not None else 0)
                exact += each * (read if isinstance(module, nn.ConvTranspose2d) else written)
                torchprofile += each * written
                gan_compression += each * written
            elif isinstance(module, _BatchNorm):
                thop[0] += widths[name][1] * (2 * written)
            elif isinstance(module, _InstanceNorm):
                gan_compression[0] += widths[name][1] * written
