"""Bicubic resizing as in MATLAB: closed forms, pictures of published sets, and the known figures of the protocol."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from slimgen.data.bicubic import cubic, imresize, taps
from slimgen.errors import DataError
from slimgen.metrics.psnr import psnr_y

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
QUARTER = Fraction(1, 4)
SETS = {"set5": 28.43, "set14": 26.09}
"""The known figures of bicubic enlargement by 4, in dB of the luma with 4 pixels of border left out."""


def published(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of a picture and the same picture a quarter as large, as published; grey ones are RGB."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the published set is not at {folder}")
    files = sorted((folder / "HR").iterdir())
    both = [(Image.open(file), Image.open(folder / "LRx4" / file.name)) for file in files]
    return [(np.asarray(high.convert("RGB")), np.asarray(low.convert("RGB"))) for high, low in both]


def test_the_kernel_is_one_in_the_middle_and_nought_at_all_other_whole_distances():
    assert cubic(np.array([0.0, 1, -1, 2, -2, 3])).tolist() == [1, 0, 0, 0, 0, 0]
    assert cubic(np.array([0.5, -0.5, 1.5])).tolist() == [0.5625, 0.5625, -0.0625]  # 9/16 and -1/16


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(1, 3), QUARTER, Fraction(2), Fraction(3), Fraction(4)])
def test_weights_sum_to_one_and_lie_evenly_around_each_pixel(scale):
    found, made = taps(48, scale), int(48 * scale)
    assert found.places.shape == found.weights.shape
    assert len(found.places) == made
    assert np.allclose(found.weights.sum(1), 1, atol=1e-14)
    inside = slice(made // 4, -made // 4)
    centres = (found.weights * found.places).sum(1)
    assert np.allclose(centres[inside], ((np.arange(made) + 0.5) / float(scale) - 0.5)[inside], atol=1e-12)


def test_a_quarter_of_a_ramp_is_the_ramp_between_its_pixels():
    ramp = np.arange(64, dtype=np.uint8)[None, :, None].repeat(16, 0) * 4
    small = imresize(ramp, QUARTER)
    assert small.shape == (4, 16, 1)
    assert small[1, 3:13, 0].tolist() == [4 * (4 * place + 1.5) for place in range(3, 13)]


@pytest.mark.parametrize("scale", [QUARTER, Fraction(1, 3), 2, 3, 4])
def test_a_flat_picture_stays_flat_up_to_its_edges(scale):
    made = imresize(np.full((13, 10, 3), 77, np.uint8), scale)
    assert made.shape == (
        -(-13 * scale.numerator // scale.denominator),
        -(-10 * scale.numerator // scale.denominator),
        3,
    )
    assert (made == 77).all()


def test_doubling_a_step_gives_the_known_overshoot():
    """Pixel values at a quarter from a centre: weights -7/128, 105/128, 38/128 ... by Keys' formula."""
    step = np.array([0, 0, 0, 128, 128, 128], np.uint8)[None, :, None].repeat(4, 0)
    weights = cubic(np.array([1.25, 0.25, -0.75, -1.75]))
    assert (128 * weights).tolist() == [-9, 111, 29, -3]
    made = imresize(step, 2)[0, :, 0].tolist()
    assert made[4:8] == [0, 26, 102, 137]  # -3 is clipped to 0; 29 - 3; 128 - 26; 128 + 9


def test_edges_are_mirrored_with_the_outermost_pixel_twice():
    row = np.array([10, 50, 200, 90, 30, 60, 70, 80], np.uint8)
    mirrored = np.concatenate([row[::-1], row, row[::-1]])
    for scale in (Fraction(1, 2), Fraction(2)):
        whole, part = (imresize(one[None, :, None].repeat(4, 0), scale)[0, :, 0] for one in (mirrored, row))
        assert whole[len(part) : 2 * len(part)].tolist() == part.tolist()


def test_an_odd_length_is_rounded_up_and_a_scale_must_be_above_nought():
    assert imresize(np.zeros((9, 14, 1), np.uint8), QUARTER).shape == (3, 4, 1)
    with pytest.raises(DataError, match="a scale above 0"):
        imresize(np.zeros((8, 8, 3), np.uint8), 0)


@pytest.mark.parametrize("name", SETS)
def test_published_small_pictures_come_out_bit_for_bit(name):
    """But for two pixels at the edges, where the older release that made them repeats the outermost pixel."""
    inside = slice(2, -2)
    for high, low in published(name):
        assert (imresize(high, QUARTER)[inside, inside] == low[inside, inside]).all()


@pytest.mark.parametrize("name", SETS)
def test_the_known_figures_of_bicubic_enlargement_come_out(name):
    values = []
    for high, low in published(name):
        for given in (low, imresize(high, QUARTER)):
            pair = (
                torch.from_numpy(one / np.float32(127.5) - 1).permute(2, 0, 1)[None]
                for one in (imresize(given, 4), high)
            )
            values.append(float(psnr_y(*pair, border=4)))
    assert np.mean(values[::2]) == pytest.approx(SETS[name], abs=0.01)
    assert np.mean(values[1::2]) == pytest.approx(SETS[name], abs=0.01)
