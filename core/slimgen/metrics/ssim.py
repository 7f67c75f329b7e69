"""Structural similarity (SSIM) of 8-bit images."""

import torch
from torch import Tensor

from slimgen.errors import DataError
from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair, luma

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Return the structural similarity with its authors' constants (Wang et al. 2004, Eq. 13).

    The window is an 11x11 Gaussian with standard deviation 1.5 that stays inside the image; K1 = 0.01, K2 = 0.03, range
    255, population variances; the value is the mean over positions and channels. Images are (N, C, H, W) in [-1, 1],
    values float64 (N,), NaN where the fake image has NaN.

    Raises:
        DataError: the shapes differ, or an image is smaller than the window.
    """
    _require_room(real)
    return _similarity(*eight_bit_pair(fake, real))


def ssim_y(fake: Tensor, real: Tensor) -> Tensor:
    """Return the structural similarity of the luma of RGB images, as in super-resolution papers; see `ssim` and `luma`.

    Both are (N, 3, H, W) in [-1, 1], rounded to 8 bits. Where a generator enlarges, the metric `ssim_y` leaves out a
    border on every side, with as many pixels as the scale.

    Raises:
        DataError: as `ssim`, or the images are not RGB.
    """
    _require_room(real)
    return _similarity(*map(luma, eight_bit_pair(fake, real)))


def _similarity(fake: Tensor, real: Tensor) -> Tensor:
    # Variances are differences of large squares; in float32 they would lose digits in flat areas.
    x, y = fake.double(), real.double()
    mean_x, mean_y, power, product = _blur(torch.stack((x, y, x * x + y * y, x * y))).unbind(0)
    means, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    luminance = (2 * means + C1) / (squares + C1)
    structure = (2 * (product - means) + C2) / (power - squares + C2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _require_room(images: Tensor) -> None:
    if min(images.shape[-2:]) < WINDOW:
        raise DataError(
            f"images for ssim must have at least {WINDOW}x{WINDOW} pixels",
            f"{images.shape[-2]}x{images.shape[-1]}",
            "leave out ssim or use larger images",
        )


SSIM = PerImage("max", plain(ssim))
SSIM_Y = PerImage("max", plain(ssim_y), "of the luma", channels=(3,), inner=True)


def _blur(maps: Tensor) -> Tensor:
    """Average with the window wherever it fits: (..., H, W) to (..., H - 10, W - 10)."""
    # Sums of shifted maps are exact on every device; a convolution may run in TF32.
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    bell = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights: list[float] = (bell / bell.sum()).tolist()
    for dim in (-2, -1):
        length = maps.shape[dim] - WINDOW + 1
        total = weights[0] * maps.narrow(dim, 0, length)
        for start, weight in enumerate(weights[1:], 1):
            total.add_(maps.narrow(dim, start, length), alpha=weight)
        maps = total
    return maps
