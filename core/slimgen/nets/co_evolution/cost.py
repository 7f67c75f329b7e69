"""What masks leave of a network, in numbers: quadratic forms in how many filters each mask keeps.

The weights and operations of a convolution go with the product of what it reads and writes, those of a norm with one
width, and every width is a sum of masks and of what no mask touches. So with h = (1, kept filters of each mask), each
number of a `Cost` is h^T Q h, and Q is read off the network while it runs once.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from slimgen.cost.formula import Cost
from slimgen.nets.co_evolution.dependencies import Convolution, channels_of, convolutions, is_depthwise

Numbers = npt.NDArray[np.int64]
Widths = Mapping[str, tuple[Numbers, Numbers]]
"""Module name to its input and output channels, each a vector w of which w . h is their number."""
_TRIED = 4  # random masks at which the arithmetic must give what is counted


def at(form: Numbers, kept: Sequence[int]) -> Numbers:
    """The value of a form (..., 1 + masks, 1 + masks) where so many filters of each mask are kept."""
    h = np.array((1, *kept), np.int64)
    value: Numbers = form @ h @ h
    return value


def weights(net: nn.Module, widths: Widths) -> Numbers:
    """The form (1 + masks, 1 + masks) of the number of weights that the convolutions have, biases aside."""
    return np.asarray(sum(_weights(name, layer, widths) for name, layer in convolutions(net)))


def cost(
    cut: Callable[[Sequence[int]], nn.Module],
    counted: Callable[[nn.Module], Cost],
    widths: Widths,
    lengths: Sequence[int],
) -> Numbers | None:
    """The form (numbers of a Cost, 1 + masks, 1 + masks) of what a network costs; None where there is no such form.

    None where arithmetic is not what is `counted`: where the network's code does something with the products of widths
    that no convolution shows, such as the attention of channels to channels. `cut` is the network with so many filters
    of each mask, `widths` are of its convolutions, norms and PReLUs.
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

    form[:, 0, 0] += whole - at(form, lengths)  # what no mask changes
    if holds():
        return form
    for mask, length in enumerate(lengths):  # what no module shows, such as elementwise products: one width each
        if length == 1:
            continue
        kept = [1 if other == mask else full for other, full in enumerate(lengths)]
        slope = (at(form, kept) - np.array(counted(cut(kept)), np.int64)) // (length - 1)
        form[:, 0, 1 + mask] += slope
        form[:, 0, 0] -= slope * length
    return form if holds() else None


@contextmanager
def _pixels(net: nn.Module) -> Iterator[dict[str, list[tuple[int, int]]]]:
    """Module name to the pixels that it read and wrote each time it was called, of convolutions and InstanceNorms."""
    found: dict[str, list[tuple[int, int]]] = {}

    def watch(name: str, reads: int, writes: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            if given:
                found.setdefault(name, []).append((given[0].numel() // reads, out.numel() // writes))

        return hook

    hooks = []
    for name, module in net.named_modules():
        if isinstance(module, Convolution | _InstanceNorm):
            hooks.append(module.register_forward_hook(watch(name, *channels_of(module))))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _weights(name: str, layer: Convolution, widths: Widths) -> Numbers:
    inputs, outputs = widths[name]
    one = np.eye(1, len(inputs), dtype=np.int64)[0]
    read = one if is_depthwise(layer) else inputs // layer.groups  # convolutions of a few groups are never cut
    return np.outer(read, outputs) * math.prod(layer.kernel_size)


def _add_parameters(form: Numbers, net: nn.Module, widths: Widths) -> None:
    """Adds the parameters of convolutions, norms and PReLUs, each once however many modules share it."""
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
    """Adds the operations of convolutions and InstanceNorms, under each convention."""
    _, exact, torchprofile, gan_compression = form
    for name, calls in pixels.items():
        module = net.get_submodule(name)
        for read, written in calls:
            if isinstance(module, Convolution):
                each = _weights(name, module, widths)
                exact += each * (read if isinstance(module, nn.ConvTranspose2d) else written)
                torchprofile += each * written
                gan_compression += each * written
            elif isinstance(module, _NormBase):
                gan_compression[0] += widths[name][1] * written
