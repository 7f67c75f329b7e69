import math

import pytest
import torch
from torch.nn import functional

from slimgen.errors import DataError
from slimgen.metrics.patch_swd import _finest, patch_swd
from slimgen.metrics.psnr import psnr
from slimgen.metrics.registry import find


def texture(size: int = 32, count: int = 2, channels: int = 3) -> torch.Tensor:
    """Noise of levels 28, 30 ... 228, in [-1, 1]."""
    drawn = torch.randint(0, 101, (count, channels, size, size), generator=torch.Generator().manual_seed(0))
    return (28 + 2 * drawn) / 127.5 - 1


def faded(images: torch.Tensor, rest: float) -> torch.Tensor:
    """The same with this part of its contrast around the middle level of 128."""
    middle = 128 / 127.5 - 1
    return middle + rest * (images - middle)


def test_a_recipe_finds_it_and_less_is_better() -> None:
    assert find("patch_swd").goal == "min"


def test_equal_images_and_a_shift_of_all_levels_have_no_distance() -> None:
    real = texture()
    assert patch_swd(real, real).tolist() == [0, 0]
    assert patch_swd(real + 10 / 127.5, real).max() < 1e-9


def test_flat_areas_have_no_finest_details_whatever_the_size() -> None:
    for sides in ((8, 8), (9, 12), (7, 11)):
        assert _finest(torch.full((1, 2, *sides), 77.0, dtype=torch.float64)).abs().max() < 1e-12


def test_the_distance_grows_in_proportion_to_the_contrast_that_is_lost() -> None:
    # Projections of half the contrast are half as large and in the same order, whatever the direction.
    real = texture()
    lost = patch_swd(faded(real, 0.0), real)
    assert torch.allclose(patch_swd(faded(real, 0.5), real), lost / 2, rtol=1e-9)
    assert torch.allclose(patch_swd(real, faded(real, 0.5)), lost / 2, rtol=1e-9)
    # Without any, it is the mean length of the target's own projections: unit vectors on white noise of its spread.
    spread = (_finest((real.double() + 1) * 127.5)).std(dim=(1, 2, 3))
    assert torch.allclose(lost, spread * math.sqrt(2 / math.pi), rtol=0.05)


def test_an_image_sharp_elsewhere_is_near_where_psnr_prefers_a_blurred_one() -> None:
    real = texture(48)
    elsewhere, blurred = real.roll((5, 9), (2, 3)), functional.avg_pool2d(real, 3, 1, 1)
    assert (psnr(elsewhere, real) < psnr(blurred, real)).all()
    assert (patch_swd(elsewhere, real) < patch_swd(blurred, real) / 5).all()


def test_each_image_has_its_own_value_of_any_channels_and_nan_stays_nan() -> None:
    real = texture(16, channels=1)
    fake = real.clone()
    fake[1, 0, 3, 3] = math.nan
    values = patch_swd(fake, real)
    assert values.dtype == torch.float64
    assert values[0] == 0
    assert values[1].isnan()


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(DataError, match="at least 7x7 pixels; got 6x16"):
        patch_swd(torch.zeros(1, 3, 6, 16), torch.zeros(1, 3, 6, 16))
