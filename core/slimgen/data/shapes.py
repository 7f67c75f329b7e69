"""Pictures cut and resized to the shape of their split."""

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimgen.data.images import Rejected
from slimgen.data.layouts import Side

NumberT = TypeVar("NumberT", np.uint8, np.uint32)


def half(which: Side, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of an image (H, W, 3) that the side is.

    Raises:
        Rejected: if two halves cannot be had.
    """
    if which.half == "whole":
        return image
    width = image.shape[1]
    if width % 2:
        raise Rejected(which.path, f"is {width} pixels wide, which two images side by side cannot be")
    return image[:, : width // 2] if which.half == "left" else image[:, width // 2 :]


def resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) as a square of `side` pixels: bicubic, antialiased."""
    if image.shape[:2] == (side, side):
        return image
    resized = Image.fromarray(np.ascontiguousarray(image)).resize((side, side), Image.Resampling.BICUBIC)
    return np.array(resized, dtype=np.uint8)


def resize_ids(ids: NDArray[NumberT], side: int) -> NDArray[NumberT]:
    """A map of numbers (H, W) as a square of `side` pixels: each is that of the nearest pixel."""
    rows, columns = ((2 * np.arange(side) + 1) * length // (2 * side) for length in ids.shape)
    resized: NDArray[NumberT] = ids[np.ix_(rows, columns)]
    return resized


def alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two images (height, width) may show the same: their proportions differ by 2 % at most."""
    (h0, w0), (h1, w1) = one, other
    return abs(h0 * w1 - h1 * w0) <= 0.02 * h0 * w1


def require_pixels(path: Path, shape: tuple[int, ...], size: int) -> None:
    """Raises Rejected if an image (height, width) is smaller than the crop that is taken from it."""
    height, width = shape
    if min(height, width) < size:
        reason = f"is {width} x {height}, smaller than the crop of {size}"
        raise Rejected(path, reason, f"set a size of at most {min(height, width)} to use it")
