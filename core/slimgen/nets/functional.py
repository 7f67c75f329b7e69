"""Layers that compute the same as PyTorch's own, faster."""

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import has_torch_function_unary


class ReLU(nn.ReLU):
    """PyTorch's ReLU after a norm, in place during inference."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Clamp features of any shape at zero."""
        return torch.relu_(input) if may_overwrite(input) else torch.relu(input)


def may_overwrite(made: Tensor) -> bool:
    """Return whether a fresh tensor may be overwritten: autograd does not need it, and nothing traces the module."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or has_torch_function_unary(made))


class ReflectionPad2d(nn.ReflectionPad2d):
    """PyTorch's ReflectionPad2d with equal padding on every side, computed by `reflect`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Pad features (N, C, H, W) to (N, C, H + 2 padding, W + 2 padding)."""
        return reflect(input, self.padding[0])


def reflect(images: Tensor, width: int) -> Tensor:
    """Pad images (N, C, H, W) by `width` mirrored pixels on every side, outside of autocast.

    Autocast on a CPU pads in float32, which would convert every image twice around an operation that only copies.
    """
    casts = not torch.compiler.is_compiling() and torch.is_autocast_enabled("cpu") and images.device.type == "cpu"
    with torch.autocast("cpu", enabled=False) if casts else nullcontext():
        return functional.pad(images, (width,) * 4, mode="reflect")


FEW = 4  # the most output channels for which `few_channels` is faster


class OutputConvolution(nn.Conv2d):
    """PyTorch's Conv2d with stride 1, computed by `few_channels`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Map features (N, C, H, W) to images (N, outputs, H', W')."""
        return few_channels(input, self.weight, self.bias, int(self.padding[0]))


def few_channels(images: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0) -> Tensor:
    """Convolve with stride 1 to a few channels: the same sums as `conv2d`, two to three times as fast on a CPU.

    A CPU computes sixteen output channels at once, and an image would use three of them. So the four pixels of each
    2 x 2 square become channels: a kernel one pixel larger, which holds the original at four offsets, moves in steps
    of two, and a pixel shuffle puts its twelve outputs in their squares.

    Args:
        images: (N, C, H, W).
        weight: (outputs, C, K, K).
        bias: (outputs,), or None.
        padding: zeros on every side.
    """
    outputs, _, kernel, _ = weight.shape
    sides = [side + 2 * padding - kernel + 1 for side in images.shape[-2:]]
    watched = torch.compiler.is_compiling() or has_torch_function_unary(images)
    if watched or images.device.type != "cpu" or outputs > FEW or any(side % 2 for side in sides):
        return functional.conv2d(images, weight, bias, padding=padding)
    places = [functional.pad(weight, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
    wide = torch.stack(places, 1).flatten(0, 1)  # an output's four offsets adjoin, as `pixel_shuffle` expects
    many = None if bias is None else bias.repeat_interleave(4)
    return functional.pixel_shuffle(functional.conv2d(images, wide, many, stride=2, padding=padding), 2)


def blended(weighted: Iterable[tuple[nn.Module, Tensor]]) -> tuple[Tensor, Tensor | None, int]:
    """Merge a weighted sum of convolutions that read the same features into a single kernel.

    It computes the same sums in another order, and autograd keeps one feature map instead of several.

    Args:
        weighted: convolutions, each with its weight, a scalar. They have the same channels and stride, and all or none
            have biases. Kernels may differ in size and dilation; an even one reaches one tap further right and down.

    Returns:
        The kernel (outputs, inputs, side, side), the bias (outputs,), and the number of taps before the middle one.
    """
    scaled = []
    for conv, gate in weighted:
        assert isinstance(conv, nn.Conv2d)
        # Read once: in training each access to a weight with spectral norm runs a power iteration.
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
    """Return the number of taps before the one at the output's pixel."""
    return int(conv.dilation[0] * ((conv.kernel_size[0] - 1) // 2))
