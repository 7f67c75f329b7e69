"""Patch SWD: how far an image's finest details are from its target's, wherever they are; a measure of sharpness."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.errors import DataError
from slimgen.metrics.kinds import PerImage, plain
from slimgen.metrics.pixels import eight_bit_pair

SIDE, DIRECTIONS = 7, 128
_BELL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) / 16


def patch_swd(fake: Tensor, real: Tensor) -> Tensor:
    """Return the sliced Wasserstein distance between the 7x7 patches of the finest Laplacian level of two images.

    The patches of the finest level measure sharpness of edges and noise (Karras et al. 2018, section 5, for sets of
    images); the distance between the patches of two images is that of Elnekave and Weiss (2022). All patches count, and
    they are not normalised, since blur lowers contrast. They are projected on 128 fixed directions, each image's
    projections are sorted, and the value is their mean absolute difference, in levels of 0..255. A blurred version of a
    sharp target is far from it; an image with an equally sharp texture elsewhere is near.

    Args:
        fake: (N, C, H, W) in [-1, 1].
        real: the same shape and range.

    Returns:
        float64 (N,), at least 0; smaller is better. NaN where the fake image has NaN.

    Raises:
        DataError: the shapes differ, or an image is smaller than a patch.
    """
    pair = eight_bit_pair(fake, real)
    if min(real.shape[-2:]) < SIDE:
        got, hint = f"{real.shape[-2]}x{real.shape[-1]}", "leave out patch_swd or use larger images"
        raise DataError(f"images for patch_swd must have at least {SIDE}x{SIDE} pixels", got, hint)
    directions = _directions(real.shape[1]).to(real.device)
    bands = (_finest(levels.double()) for levels in pair)
    # Image by image: the patches of a batch would take 49 times the batch's memory.
    found = ([_sorted(band, directions) for band in both] for both in zip(*bands, strict=True))
    return torch.stack([(ours - theirs).abs().mean() for ours, theirs in found])


def _finest(levels: Tensor) -> Tensor:
    """Return the finest Laplacian level of images (N, C, H, W): g_0 - expand(reduce(g_0)), Burt and Adelson (1983)."""
    spread = torch.zeros_like(levels)
    spread[..., ::2, ::2] = _smooth(levels)[..., ::2, ::2]
    return levels - 4 * _smooth(spread)


def _smooth(levels: Tensor) -> Tensor:
    """Convolve with the pyramid's 5x5 kernel, mirrored at the borders; NaN stays NaN."""
    channels = levels.shape[1]
    kernel = torch.outer(_BELL, _BELL).to(levels.device).expand(channels, 1, 5, 5)
    return functional.conv2d(functional.pad(levels, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _sorted(band: Tensor, directions: Tensor) -> Tensor:
    """Return the projections of all patches of an image (C, H, W), sorted by direction: (patches, directions)."""
    return (functional.unfold(band[None], SIDE)[0].T @ directions).sort(0).values


@cache
def _directions(channels: int) -> Tensor:
    """Return unit vectors, float64 (channels x 7 x 7, 128), drawn from a fixed seed."""
    drawn = torch.randn(channels * SIDE**2, DIRECTIONS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions: Tensor = drawn / drawn.norm(dim=0)
    return directions


PATCH_SWD = PerImage(
    "min",
    plain(patch_swd),
    "sliced Wasserstein distance of 7x7 patches of the finest Laplacian level, image by image, 128 directions",
)
