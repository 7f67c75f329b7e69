"""Peak signal-to-noise ratio of 8-bit images, in decibels."""

import torch
from torch import Tensor

from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair, luma


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
    """Return the PSNR of the luma of RGB images, as in super-resolution papers; see `luma`.

    Both are (N, 3, H, W) in [-1, 1], rounded to 8 bits. The papers leave out a `border` on every side, with as many
    pixels as the scale; so does the metric `psnr_y` where a generator enlarges.

    Raises:
        DataError: the shapes differ, or the images are not RGB.
    """
    inner = slice(border, -border or None)
    return _decibels(*(luma(images)[..., inner, inner] for images in eight_bit_pair(fake, real)))


def _decibels(fake: Tensor, real: Tensor) -> Tensor:
    # Squares of differences of 8-bit levels are exact in float32, their sum only in float64.
    error = (fake - real).square_().mean(dim=(1, 2, 3), dtype=torch.float64)
    return (10 * torch.log10(255.0**2 / error)).clamp_(max=100.0)


PSNR, PSNR_Y = PerImage("max", plain(psnr)), PerImage("max", plain(psnr_y), "of the luma", channels=(3,), inner=True)
