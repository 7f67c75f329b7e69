"""Reflection padding in the number type of its images."""

import torch
from torch import Tensor, nn


class ReflectionPad2d(nn.ReflectionPad2d):
    """PyTorch's ReflectionPad2d, kept out of autocast.

    Autocast on a CPU computes paddings in float32, so that every image is converted twice around an operation that
    only copies.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Features (N, C, H, W) to features larger by the padding, of the same type."""
        if torch.compiler.is_compiling() or input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input)
