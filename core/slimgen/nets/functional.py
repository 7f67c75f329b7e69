"""Layers in forms that are faster than PyTorch's own and compute the same."""

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import has_torch_function_unary


class ReLU(nn.ReLU):
    """PyTorch's ReLU behind a norm, in place where nothing is trained."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Features of any shape, not below zero."""
        return torch.relu_(input) if may_overwrite(input) else torch.relu(input)


def may_overwrite(made: Tensor) -> bool:
    """Whether a tensor that was just made can be overwritten: no gradient will ask for it, and nobody watches."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or has_torch_function_unary(made))


class ReflectionPad2d(nn.ReflectionPad2d):
    """PyTorch's ReflectionPad2d of one width on every side, by `reflect`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Features (N, C, H, W) to features larger by the padding."""
        return reflect(input, self.padding[0])


def reflect(images: Tensor, width: int) -> Tensor:
    """Mirrors `width` pixels of (N, C, H, W) out over every side, kept out of autocast.

    Autocast on a CPU computes paddings in float32, so that every image would be converted twice around an operation
    that only copies.
    """
    casts = not torch.compiler.is_compiling() and torch.is_autocast_enabled("cpu") and images.device.type == "cpu"
    with torch.autocast("cpu", enabled=False) if casts else nullcontext():
        return functional.pad(images, (width,) * 4, mode="reflect")


FEW = 4  # channels, at the most, to which `few_channels` is faster


class OutputConvolution(nn.Conv2d):
    """PyTorch's Conv2d of stride 1, by `few_channels`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Features (N, C, H, W) to images."""
        return few_channels(input, self.weight, self.bias, int(self.padding[0]))


def few_channels(images: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0) -> Tensor:
    """A convolution of stride 1 to a few channels, two to three times as fast on a CPU, with the same sums.

    A processor computes sixteen channels at once, of which three would be used. So the pixels of each square of 2 x 2
    are made channels: a kernel one pixel larger, which holds the kernel at its four places, moves in steps of two, and
    its twelve outputs are sorted into their squares.

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
    wide = torch.stack(places, 1).flatten(0, 1)  # each output's four places next to each other, as they are sorted
    many = None if bias is None else bias.repeat_interleave(4)
    return functional.pixel_shuffle(functional.conv2d(images, wide, many, stride=2, padding=padding), 2)


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
