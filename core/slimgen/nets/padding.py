"""Reflection padding in the number type of its images."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ReflectionPad2d(nn.ReflectionPad2d):
    """PyTorch's ReflectionPad2d of one width on every side, by `reflect`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Features (N, C, H, W) to features larger by the padding, of the same type."""
        return reflect(input, self.padding[0])


def reflect(images: Tensor, width: int) -> Tensor:
    """Mirrors `width` pixels of (N, C, H, W) out over every side, kept out of autocast.

    Autocast on a CPU computes paddings in float32, so that every image would be converted twice around an operation
    that only copies.
    """
    sides = (width,) * 4
    if torch.compiler.is_compiling() or not torch.is_autocast_enabled("cpu") or images.device.type != "cpu":
        return functional.pad(images, sides, mode="reflect")
    with torch.autocast("cpu", enabled=False):
        return functional.pad(images, sides, mode="reflect")
