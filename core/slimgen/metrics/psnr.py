"""Peak signal-to-noise ratio of 8-bit images, in decibels."""

import torch
from torch import Tensor

from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair, luma

LIMIT = 100.0


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over the RGB values: 10 log10(255^2 / mean squared error).

    Identical images would be infinitely good and would make every mean infinite, so the value ends at 100 dB, which
    images that differ in a single level of a single value reach only beyond 150,000 values.

    Args:
        fake: (N, C, H, W) in [-1, 1].
        real: likewise.

    Returns:
        float64 (N,), in dB. NaN where the fake image has NaN.

    Raises:
        DataError: the shapes differ.
    """
    return _decibels(*eight_bit_pair(fake, real))


def psnr_y(fake: Tensor, real: Tensor, *, border: int = 0) -> Tensor:
    """PSNR of the luma alone, as super-resolution papers give it (BT.601, MATLAB's convention, rounded to 8 bits).

    Args:
        fake: (N, 3, H, W) in [-1, 1].
        real: likewise.
        border: pixels left out on every side; super-resolution papers leave out as many as the scale.

    Returns:
        float64 (N,), in dB, at most 100.

    Raises:
        DataError: the shapes differ, or the images are not RGB.
    """
    inner = slice(border, -border or None)
    a, b = (luma(images)[..., inner, inner] for images in eight_bit_pair(fake, real))
    return _decibels(a, b)


def _decibels(fake: Tensor, real: Tensor) -> Tensor:
    # Squares of 8-bit differences are exact in float32; their sum is only in float64.
    error = (fake - real).square_().mean(dim=(1, 2, 3), dtype=torch.float64)
    return (10 * torch.log10(255.0**2 / error)).clamp_(max=LIMIT)


PSNR, PSNR_Y = PerImage("max", plain(psnr)), PerImage("max", plain(psnr_y))
