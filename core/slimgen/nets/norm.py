"""InstanceNorm that keeps the memory layout of its input and has a correct gradient in every layout.

PyTorch's `instance_norm` does not keep channels_last, so each convolution after it copies its input. On a CPU its
gradient is also wrong for a batch of one image when the incoming gradient is channels_last (torch 2.13), which is the
layout that a channels_last convolution sends back. Here a channels_last batch on a CPU uses PyTorch's `group_norm`
kernel with one group per channel: small and narrow batches are copied to contiguous memory and back, which is still
faster; for the others the gradient is computed in closed form. Every other batch uses `instance_norm`, with its
incoming gradients made contiguous.
"""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import has_torch_function_unary

# Up to _SMALL pixels, or below _NARROW channels, `group_norm` is mostly faster on a contiguous copy, copying included,
# and five times as fast in bfloat16; for larger images copying takes longest (benchmarks/norms.py).
_SMALL, _NARROW = 1024, 16
# With a mean this many standard deviations from zero, a channel's variance is still accurate to a thousandth.
_FAR = 16.0


class InstanceNorm2d(nn.InstanceNorm2d):
    """PyTorch's InstanceNorm2d without running statistics, computed by `instance_norm`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Normalise features (N, C, H, W) to mean 0 and variance 1 per image and channel, then scale if affine."""
        return instance_norm(input, self.weight, self.bias, self.eps)


def instance_norm(
    images: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each channel of each image (Ulyanov et al. 2016).

    Args:
        images: (N, C, H, W); the result has the same shape, and on a CPU the same layout if that is channels_last.
        weight: scales (C,), or None.
        bias: shifts (C,); None exactly where `weight` is.
        eps: added to the variance.
    """
    if not _fast(images):
        out = functional.instance_norm(images, weight=weight, bias=bias, eps=eps)
        if out.requires_grad:
            out.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
        return out
    if images[0, 0].numel() <= _SMALL or images.shape[1] < _NARROW:
        with torch.autocast("cpu", enabled=False):
            out = torch.group_norm(images.contiguous(), images.shape[1], weight, bias, eps)
        return out.contiguous(memory_format=torch.channels_last)
    if torch.is_grad_enabled():
        return cast(Tensor, _Normalise.apply(images, weight, bias, eps))  # type: ignore[no-untyped-call]
    return _normalised(images, eps, weight, bias)[0]


def _fast(images: Tensor) -> bool:
    """Return whether the images are channels_last on a CPU and are computed, not traced or compiled."""
    return (
        images.device.type == "cpu"
        and images.dim() == 4
        and not images.is_contiguous()
        and images.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
        and not has_torch_function_unary(images)
    )


def _normalised(
    images: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the normalised images, scaled and shifted if asked to, and 1 / standard deviation as (N, C, 1, 1)."""
    count, channels, height, width = images.shape
    with torch.autocast("cpu", enabled=False):
        # The kernel computes the variance as mean of squares minus squared mean, which loses digits far from zero. So
        # the mean of one row of pixels is subtracted first; in bfloat16, which has few digits, only where all are lost.
        group = (count, channels, height * width, channels, eps)
        if images.dtype == torch.bfloat16:
            normed, mean, scale = torch.native_group_norm(images, weight, bias, *group)
            if not bool((mean * scale).abs().max() > _FAR):
                return normed, scale.view(count, channels, 1, 1)
        near = _shifted(images, -_mean(images[:, :, height // 2 : height // 2 + 1]))
        normed, _, scale = torch.native_group_norm(near, weight, bias, *group)
    return normed, scale.view(count, channels, 1, 1)


def _shifted(images: Tensor, shift: Tensor) -> Tensor:
    """Add a number (N, C, 1, 1) to each channel of each image."""
    if images.dtype != torch.bfloat16:
        return images + shift
    # In bfloat16, adding one row to many is slow for few channels; a rank-one product is not.
    count, channels, height, width = images.shape
    out = torch.empty_like(images, memory_format=torch.channels_last)
    rows, sums = (part.permute(0, 2, 3, 1).reshape(count, height * width, channels) for part in (images, out))
    ones = _ones(height * width, images.dtype).expand(count, -1, -1).transpose(1, 2)
    torch.baddbmm(rows, ones, shift.to(images.dtype).reshape(-1, 1, channels).expand(count, -1, -1), out=sums)
    return out


def _mean(images: Tensor) -> Tensor:
    """Return the mean of each channel as (N, C, 1, 1), by a product with ones: torch's sum over pixels is slow here."""
    count, channels, height, width = images.shape
    rows = images.permute(0, 2, 3, 1).reshape(count, height * width, channels)
    ones = _ones(height * width, images.dtype).expand(count, -1, -1)
    return torch.bmm(ones, rows).view(count, channels, 1, 1) / (height * width)


@lru_cache(maxsize=64)
def _ones(length: int, dtype: torch.dtype) -> Tensor:
    """Return a row of ones (1, 1, length)."""
    with torch.inference_mode(False):
        return torch.ones(1, 1, length, dtype=dtype)


class _Normalise(torch.autograd.Function):
    """y = (x - mean) / deviation, scaled and shifted.

    With g the incoming gradient times the scale, the gradient is (g - mean(g) - y mean(g y)) / deviation. The same
    means over pixels give the gradients of scale and shift.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        normed, scale = _normalised(images, eps)
        ctx.save_for_backward(normed, scale, weight)
        if weight is None or bias is None:
            return normed
        with torch.autocast("cpu", enabled=False):
            return _shifted(normed * weight.view(1, -1, 1, 1).to(normed.dtype), bias.view(1, -1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        normed, scale, weight = ctx.saved_tensors
        gradient = gradient.to(normed.dtype).contiguous(memory_format=torch.channels_last)
        pixels = normed.shape[2] * normed.shape[3]
        steeper = flatter = None
        with torch.autocast("cpu", enabled=False):
            along, mean = _mean(gradient * normed), _mean(gradient)
            if weight is not None:
                steeper, flatter = (pixels * part.float().sum((0, 2, 3)).to(weight.dtype) for part in (along, mean))
                scale = scale * weight.view(1, -1, 1, 1)
            if not ctx.needs_input_grad[0]:
                return None, steeper, flatter, None
            out = _shifted(gradient, -mean).sub_(normed * along)
            return out.mul_(scale.to(out.dtype)), steeper, flatter, None
