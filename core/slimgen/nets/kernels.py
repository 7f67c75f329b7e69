"""Mixing convolutions by their kernels: they are linear, so a weighted sum of several is one."""

from collections.abc import Iterable

from torch import Tensor, nn


def blended(weighted: Iterable[tuple[nn.Module, Tensor]]) -> tuple[Tensor, Tensor | None, int]:
    """The kernel of a weighted sum of convolutions that read the same features around the same pixels.

    It computes the same sums in another order, with one feature map to keep for the gradients instead of several.

    Args:
        weighted: convolutions, alike in channels, stride and whether they have biases, each with its weight, a scalar.
            Kernels may differ in size and dilation; one of even size reaches a tap further right and down.

    Returns:
        The kernel (outputs, inputs, side, side), the bias (outputs,), and how many taps lie before the middle one.
    """
    scaled = []
    for conv, gate in weighted:
        assert isinstance(conv, nn.Conv2d)
        # Asked for once: in training every look at a spectral norm is a power iteration.
        scaled.append((conv, gate, gate * conv.weight))
    reach = max(_reach(conv) for conv, _, _ in scaled)
    side = reach + 1 + max(conv.dilation[0] * (conv.kernel_size[0] - 1) - _reach(conv) for conv, _, _ in scaled)
    first = scaled[0][2]
    kernel = first.new_zeros(*first.shape[:2], side, side)
    bias: Tensor | None = None
    for conv, gate, weight in scaled:
        begin, step = reach - _reach(conv), conv.dilation[0]
        taps = slice(begin, begin + step * (weight.shape[-1] - 1) + 1, step)
        kernel[..., taps, taps] += weight
        if conv.bias is not None:
            bias = gate * conv.bias if bias is None else bias + gate * conv.bias
    return kernel, bias, reach


def _reach(conv: nn.Conv2d) -> int:
    """Taps before the one that lies at the output's pixel."""
    return int(conv.dilation[0] * ((conv.kernel_size[0] - 1) // 2))
