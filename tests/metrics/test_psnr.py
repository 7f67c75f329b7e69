import math

import pytest
import torch

from slimgen.errors import DataError
from slimgen.metrics.psnr import psnr, psnr_y


def image(*levels: int, size: int = 8) -> torch.Tensor:
    """A flat picture of the given RGB levels, in [-1, 1]."""
    return (torch.tensor(levels, dtype=torch.float32) / 127.5 - 1).view(1, -1, 1, 1).expand(1, -1, size, size)


def test_a_shift_of_ten_levels_has_the_closed_form_value() -> None:
    assert psnr(image(110, 110, 110), image(100, 100, 100)).item() == pytest.approx(20 * math.log10(25.5), abs=1e-12)


def test_one_wrong_level_in_one_value_counts_as_one_over_the_number_of_values() -> None:
    real = image(100, 100, 100)
    fake = real.clone()
    fake[0, 0, 3, 3] = 101 / 127.5 - 1
    assert psnr(fake, real).item() == pytest.approx(10 * math.log10(255**2 * 3 * 64), abs=1e-12)


def test_identical_images_have_100_decibels_and_no_infinity() -> None:
    assert psnr(image(7, 8, 9), image(7, 8, 9)).tolist() == [100.0]


def test_differences_below_half_a_level_do_not_count_because_a_saved_picture_has_none() -> None:
    assert psnr(image(7, 8, 9) + 0.49 / 127.5, image(7, 8, 9)).tolist() == [100.0]


def test_values_outside_the_range_are_cut_off_as_saving_does() -> None:
    assert psnr(image(255, 255, 0) * 3, image(255, 255, 0)).tolist() == [100.0]


def test_each_image_has_its_own_value_and_nan_stays_nan() -> None:
    real = image(100, 100, 100).repeat(3, 1, 1, 1)
    fake = torch.cat([image(100, 100, 100), image(110, 110, 110), image(100, 100, 100) * math.nan])
    values = psnr(fake, real)
    assert values[0] == 100
    assert values[1].item() == pytest.approx(28.1308, abs=1e-4)
    assert values[2].isnan()


def test_the_luma_of_primary_colours_is_that_of_matlab_before_it_is_rounded() -> None:
    # rgb2ycbcr of 8-bit black, white, red, green and blue is 16, 235, 81, 145, 41.
    black = image(0, 0, 0)
    for levels, y in [((255, 255, 255), 219), ((255, 0, 0), 65.481), ((0, 255, 0), 128.553), ((0, 0, 255), 24.966)]:
        expected = 20 * math.log10(255 / y)
        assert psnr_y(image(*levels), black).item() == pytest.approx(expected, abs=1e-12)


def test_a_border_is_left_out_of_the_luma() -> None:
    fake = image(0, 0, 0).clone()
    fake[..., 0, :] = 1
    assert psnr_y(fake, image(0, 0, 0)).item() < 20
    assert psnr_y(fake, image(0, 0, 0), border=1).item() == 100


def test_images_of_different_shape_are_refused() -> None:
    with pytest.raises(DataError, match="the same shape"):
        psnr(image(0, 0, 0), image(0, 0, 0, size=9))
    with pytest.raises(DataError, match="RGB"):
        psnr_y(image(0), image(0))
