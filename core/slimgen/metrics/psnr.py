"""Peak signal-to-noise ratio of 8-bit images, in decibels."""

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio over all channels: 10 log10(255^2 / mean squared error).

    The value is capped at 100 dB, as identical images would make every mean infinite. Images that differ by one level
    in a single value reach the cap only if they have more than 150,000 values.

    Both are (N, C, H, W) in [-1, 1]. The values are float64 (N,), NaN where the fake image has NaN.

    Raises:
        DataError: the shapes differ.
    """
    return _decibels(*eight_bit_pair(fake, real))


def psnr_y(fake: Tensor, real: Tensor, *, border: int = 0) -> Tensor:
    """Return the PSNR of the luma of RGB images, as in super-resolution papers (BT.601, MATLAB's convention, 8 bits).

    The papers leave out a `border` on every side, with as many pixels as the scale. Raises DataError unless the images
    are RGB.
    """
    inner = slice(border, -border or None)
    a, b = (_luma(images)[..., inner, inner] for images in eight_bit_pair(fake, real))
    return _decibels(a, b)


def _luma(images: Tensor) -> Tensor:
    """Return ITU-R BT.601 luma like MATLAB's `rgb2ycbcr`: 0..255 (N, 3, H, W) to whole numbers 16..235 (N, 1, H, W)."""
    if images.shape[1] != 3:
        raise DataError("images for psnr_y must be RGB", f"{images.shape[1]} channels")
    red, green, blue = images.double().unbind(1)
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    # MATLAB rounds half up, not half to even.
    return y.add_(0.5).floor_().to(images.dtype).unsqueeze(1)


def _decibels(fake: Tensor, real: Tensor) -> Tensor:
    # Squares of 8-bit differences are exact in float32, their sum only in float64.
    error = (fake - real).square_().mean(dim=(1, 2, 3), dtype=torch.float64)
    return (10 * torch.log10(255.0**2 / error)).clamp_(max=100.0)


PSNR, PSNR_Y = PerImage("max", plain(psnr)), PerImage("max", plain(psnr_y), channels=(3,))
