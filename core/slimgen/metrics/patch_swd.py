"""How far an image's finest details are from its target's, wherever they lie: sharpness, beside PSNR's exactness."""

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
    """Sliced Wasserstein distance between the 7x7 patches of the finest level of both images' Laplacian pyramids.

    The patches of the finest level tell sharpness of edges and noise (Karras et al. 2018, section 5, for sets of
    images); between the patches of one image and of another, the distance is that of Elnekave and Weiss (2022). Of an
    image, all patches count, as they are: a blurred one has less contrast. They are projected on 128 fixed directions;
    the projections of either image are sorted, and their mean absolute difference is the value, in levels of 0..255.
    A smooth image of a sharp target is far from it; one whose texture is as sharp but elsewhere is near.

    Args:
        fake: (N, C, H, W) in [-1, 1].
        real: likewise.

    Returns:
        float64 (N,), not negative; smaller is better. NaN where the fake image has NaN.

    Raises:
        DataError: the shapes differ, or an image is smaller than a patch.
    """
    pair = eight_bit_pair(fake, real)
    if min(real.shape[-2:]) < SIDE:
        got, hint = f"{real.shape[-2]}x{real.shape[-1]}", "leave out patch_swd or use larger images"
        raise DataError(f"patch_swd needs images of at least {SIDE}x{SIDE} pixels", got, hint)
    directions = _directions(real.shape[1]).to(real.device)
    bands = (_finest(levels.double()) for levels in pair)
    # Image by image: the patches of a batch would take 49 times its memory.
    found = ([_sorted(band, directions) for band in both] for both in zip(*bands, strict=True))
    return torch.stack([(ours - theirs).abs().mean() for ours, theirs in found])


def _finest(levels: Tensor) -> Tensor:
    """What images (N, C, H, W) lose at half of their size: g_0 - expand(reduce(g_0)) of Burt and Adelson (1983)."""
    spread = torch.zeros_like(levels)
    spread[..., ::2, ::2] = _smooth(levels)[..., ::2, ::2]
    return levels - 4 * _smooth(spread)


def _smooth(levels: Tensor) -> Tensor:
    """Weighs with the pyramid's 5x5 kernel, mirrored at the borders; NaN stays NaN."""
    channels = levels.shape[1]
    kernel = torch.outer(_BELL, _BELL).to(levels.device).expand(channels, 1, 5, 5)
    return functional.conv2d(functional.pad(levels, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _sorted(band: Tensor, directions: Tensor) -> Tensor:
    """The projections of all patches of an image (C, H, W), ascending along each direction: (patches, directions)."""
    return (functional.unfold(band[None], SIDE)[0].T @ directions).sort(0).values


@cache
def _directions(channels: int) -> Tensor:
    """Unit vectors, float64 (channels x 7 x 7, 128), of a seed of their own."""
    drawn = torch.randn(channels * SIDE**2, DIRECTIONS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions: Tensor = drawn / drawn.norm(dim=0)
    return directions


PATCH_SWD = PerImage(
    "min",
    plain(patch_swd),
    "sliced Wasserstein distance of 7x7 patches of the finest Laplacian level, image by image, 128 directions",
)
