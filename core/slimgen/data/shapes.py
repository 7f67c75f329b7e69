"""Pictures cut and resized to the shape of their split, and written as rows of its arrays."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def image_rows(path: Path, side: int, channels: int) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Writes an .npy file (N, side, side, channels), uint8, by calls with one image each; N is known in the end."""
    count = 0

    def header() -> None:
        # numpy pads headers so that a grown first axis still fits: both have the same length.
        about = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, channels)}
        np.lib.format.write_array_header_1_0(file, about)

    def append(image: NDArray[np.uint8]) -> None:
        nonlocal count
        file.write(np.ascontiguousarray(image).data)
        count += 1

    with path.open("wb") as file:
        header()
        yield append
        file.seek(0)
        header()


class Moments:
    """Mean and deviation from sums of whole numbers, so that neither order nor machine changes them."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = np.zeros((2, 3), np.int64)

    def add(self, image: NDArray[np.uint8]) -> None:
        """Take in an image, uint8 (H, W, 3)."""
        values = image.reshape(-1, 3).astype(np.int64)
        self.count += len(values)
        self.sums += np.stack([values.sum(0), (values * values).sum(0)])

    def tensor_units(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation per channel of the values mapped to [-1, 1]."""
        first, second = ([int(value) for value in row] for row in self.sums)
        mean = [a / self.count for a in first]
        std = [math.sqrt(b * self.count - a * a) / self.count for a, b in zip(first, second, strict=True)]
        r, g, b = (value / 127.5 - 1 for value in mean)
        dr, dg, db = (value / 127.5 for value in std)
        return (r, g, b), (dr, dg, db)
