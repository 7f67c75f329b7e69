"""Colours to draw with are found in drawings, and not in photographs."""

import io

import numpy as np
import pytest
from PIL import Image

from slimgen.demo.palette import MOST, palette
from townhouses.classes import PALETTE, colour_map


def drawing(times: int = 1) -> np.ndarray:
    """A map of six classes in rectangles, so many times 64 px."""
    ids = np.zeros((64, 64), np.uint8)
    for number in range(1, 6):
        ids[number * 9 : number * 9 + 12, number * 7 : number * 7 + 20] = 3 * number
    return colour_map(ids.repeat(times, 0).repeat(times, 1))


def test_the_colours_of_exact_drawings_are_exact_and_the_most_frequent_is_first() -> None:
    found = palette([drawing()])
    assert found[0] == tuple(PALETTE[0].tolist())
    assert sorted(found) == sorted(tuple(PALETTE[3 * number].tolist()) for number in range(6))


@pytest.mark.parametrize("change", ["jpeg", "scaled"])
def test_compression_and_scaling_add_no_colours(change) -> None:
    image, made = Image.fromarray(drawing(4)), io.BytesIO()
    image.save(made, "JPEG", quality=85)
    changed = Image.open(made) if change == "jpeg" else image.resize((120, 120), Image.Resampling.BICUBIC)
    found = palette([np.asarray(changed)])
    near = [
        min(np.abs(np.subtract(colour, PALETTE[3 * number].astype(int))).sum() for colour in found)
        for number in range(6)
    ]
    assert max(near) < 30
    assert len(found) <= 12


def test_photographs_and_pictures_of_one_colour_have_none() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    smooth = np.stack([rows * 2, columns * 2, (rows + columns)], -1) + rng.normal(0, 6, (96, 96, 3))
    assert palette([smooth.clip(0, 255).astype(np.uint8)]) == []
    assert palette([np.full((8, 8, 3), 7, np.uint8)]) == []
    assert palette([]) == []


def test_sketches_in_black_and_white_may_be_drawn() -> None:
    sketch = np.full((64, 64, 3), 255, np.uint8)
    sketch[20:22] = sketch[:, 40] = 0
    assert palette([sketch]) == [(255, 255, 255), (0, 0, 0)]


def test_there_are_never_more_than_the_page_can_show() -> None:
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (200, 3), np.uint8)[rng.integers(0, 200, (64, 64)) ** 2 % 200]
    assert len(palette([many])) <= MOST
