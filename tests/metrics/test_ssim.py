import math

import numpy
import pytest
import torch
from scipy.signal import convolve2d

from slimgen.errors import DataError
from slimgen.metrics.ssim import ssim, ssim_y

C1, C2 = 2.55**2, 7.65**2


def independent_ssim(a: numpy.ndarray, b: numpy.ndarray) -> float:
    """One channel of 8-bit levels, with a plain two-dimensional window and variances by definition."""
    axis = numpy.arange(-5, 6)
    window = numpy.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x: numpy.ndarray) -> numpy.ndarray:
        return convolve2d(x, window, mode="valid")

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    values = ((2 * ma * mb + C1) * (2 * cov + C2)) / ((ma**2 + mb**2 + C1) * (va + vb + C2))
    return float(values.mean())


def to_tensor(levels: numpy.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels.astype(numpy.float32) / 127.5 - 1)


def test_two_flat_images_have_the_closed_form_of_the_luminance_term() -> None:
    a, b = torch.full((1, 3, 16, 16), 100 / 127.5 - 1), torch.full((1, 3, 16, 16), 150 / 127.5 - 1)
    expected = (2 * 100 * 150 + C1) / (100**2 + 150**2 + C1)
    assert ssim(a, b).item() == pytest.approx(expected, abs=1e-12)


def test_it_equals_an_independent_implementation() -> None:
    rng = numpy.random.default_rng(3)
    real = rng.integers(0, 256, (2, 3, 24, 31)).astype(numpy.float64)
    fake = numpy.clip(real + rng.integers(-40, 41, real.shape), 0, 255)
    expected = [numpy.mean([independent_ssim(fake[n, c], real[n, c]) for c in range(3)]) for n in range(2)]
    assert ssim(to_tensor(fake), to_tensor(real)).tolist() == pytest.approx(expected, abs=1e-10)


def test_of_the_luma_it_equals_an_independent_implementation_and_needs_rgb() -> None:
    rng = numpy.random.default_rng(4)
    real = rng.integers(0, 256, (2, 3, 15, 13)).astype(numpy.float64)
    fake = numpy.clip(real + rng.integers(-40, 41, real.shape), 0, 255)
    lumas = [16 + numpy.einsum("c,nchw->nhw", [65.481, 128.553, 24.966], one) / 255 for one in (fake, real)]
    expected = [independent_ssim(*pair) for pair in zip(*lumas, strict=True)]
    assert ssim_y(to_tensor(fake), to_tensor(real)).tolist() == pytest.approx(expected, abs=1e-10)
    with pytest.raises(DataError, match="RGB"):
        ssim_y(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))


def test_identical_images_have_exactly_one_and_negatives_of_each_other_less_than_none() -> None:
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ssim(image, image).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert max(ssim(-image, image).tolist()) < 0


def test_the_order_of_the_two_images_does_not_matter() -> None:
    a, b = torch.rand(2, 1, 3, 12, 12, generator=torch.Generator().manual_seed(1)).mul(2).sub(1)
    assert ssim(a, b).item() == pytest.approx(ssim(b, a).item(), abs=1e-14)


def test_nan_stays_nan_and_small_images_are_refused() -> None:
    image = torch.zeros(1, 3, 11, 11)
    assert ssim(image * math.nan, image).isnan().all()
    with pytest.raises(DataError, match="at least 11x11"):
        ssim(torch.zeros(1, 3, 10, 40), torch.zeros(1, 3, 10, 40))
