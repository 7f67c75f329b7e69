"""Pictures cut and resized to the shape of their split, and written as rows of its arrays."""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimgen.data.images import MOST_PIXELS, Rejected
from slimgen.data.layouts import Side
from slimgen.size import Fit, Size, alike

NumberT = TypeVar("NumberT", np.uint8, np.uint32)


def half(which: Side, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of an image (H, W, channels) that the side is.

    Raises:
        Rejected: if two halves cannot be had.
    """
    if which.half == "whole":
        return image
    width = image.shape[1]
    if width % 2:
        raise Rejected(which.path, f"is {width} pixels wide, which two images side by side cannot be")
    return image[:, : width // 2] if which.half == "left" else image[:, width // 2 :]


@dataclass(frozen=True)
class Frame:
    """What the pictures of a split are made to be.

    Attributes:
        size: of the rows.
        crop: what training takes of them; pictures of fewer pixels are rejected.
        fit: what becomes of pictures of another aspect than the rows'; None rejects them, as a picture changes its
            aspect only where somebody asked for it.
    """

    size: Size
    crop: Size
    fit: Fit | None = None

    def fitted(self, path: Path, image: NDArray[NumberT], *, by_area: bool = False) -> NDArray[NumberT]:
        """A picture (H, W, channels), or a map (H, W), of the aspect of the rows; squashing comes with resizing.

        Raises:
            Rejected: it is of another aspect, and nothing says what to do about that; or what is left of it is smaller
                than the crop, or, `by_area`, has fewer pixels.
        """
        shape = Size(*image.shape[:2])
        fitted = image if self.fit in (None, "squash") else self._cut_or_padded(path, image)
        if self.fit is None and not alike(shape, self.crop):
            reason = f"is {shape.spoken}, of another aspect than {self.crop}"
            raise Rejected(path, reason, "set data.fit to squash, crop or pad")
        high, wide = (side / wanted for side, wanted in zip(fitted.shape, self.crop, strict=False))
        part = math.sqrt(high * wide) if by_area else min(high, wide)
        if part < 1:
            how = "has fewer pixels than" if by_area else "smaller than"
            at_most = Size(*(max(1, math.floor(part * side + 1e-9)) for side in self.crop))
            reason = f"is {shape.spoken}, {how} the crop of {self.crop}"
            raise Rejected(path, reason, f"set a size of at most {at_most.plain} to use it")
        return fitted

    def shape_of(self, shape: Size) -> Size:
        """Height and width of what is made of a picture, before it is resized."""
        of = {"crop": _within, "pad": _around}
        return Size(*of[self.fit](shape, self.size)) if self.fit in of else shape

    def _cut_or_padded(self, path: Path, image: NDArray[NumberT]) -> NDArray[NumberT]:
        shape = Size(*image.shape[:2])
        if self.fit == "crop":
            high, wide = _within(shape, self.size)
            top, left = (shape.height - high) // 2, (shape.width - wide) // 2
            return image[top : top + high, left : left + wide]
        around = _around(shape, self.size)
        if math.prod(around) > MOST_PIXELS:
            raise Rejected(path, f"is {shape.spoken}, too narrow to be padded to the aspect of {self.size}")
        rows, columns = (
            np.clip(np.arange(most) - (most - side) // 2, 0, side - 1) for most, side in zip(around, shape, strict=True)
        )
        padded: NDArray[NumberT] = image[rows][:, columns]
        return padded


def _within(shape: Size, aspect: Size) -> tuple[int, int]:
    """Height and width of the largest part of a picture that has an aspect."""
    return (
        min(shape.height, max(1, round(shape.width * aspect.height / aspect.width))),
        min(shape.width, max(1, round(shape.height * aspect.width / aspect.height))),
    )


def _around(shape: Size, aspect: Size) -> tuple[int, int]:
    """Height and width of the smallest area of an aspect that holds a picture."""
    return (
        max(shape.height, round(shape.width * aspect.height / aspect.width)),
        max(shape.width, round(shape.height * aspect.width / aspect.height)),
    )


def resize(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """An image (H, W, channels) of another size: bicubic, antialiased."""
    if image.shape[:2] == size:
        return image
    # Band after band where they are not three: of four, Pillow would take the last for alpha, and weigh by it.
    bands = [image] if image.shape[2] == 3 else list(np.moveaxis(image, 2, 0))
    resized = [
        np.array(
            Image.fromarray(np.ascontiguousarray(band)).resize((size.width, size.height), Image.Resampling.BICUBIC),
            np.uint8,
        )
        for band in bands
    ]
    return resized[0] if image.shape[2] == 3 else np.stack(resized, axis=2)


def resize_ids(ids: NDArray[NumberT], size: Size) -> NDArray[NumberT]:
    """A map of numbers (H, W) of another size: each is that of the nearest pixel."""
    rows, columns = (
        (2 * np.arange(side) + 1) * length // (2 * side) for side, length in zip(size, ids.shape, strict=True)
    )
    resized: NDArray[NumberT] = ids[np.ix_(rows, columns)]
    return resized


def mark(image: NDArray[np.uint8]) -> bytes:
    """What tells an image (H, W, channels) from others: equal for equal pixels."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


@contextmanager
def image_rows(path: Path, size: Size, channels: int) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Writes an .npy file (N, height, width, channels), uint8, by calls with one image each; N is known in the end."""
    count = 0

    def header() -> None:
        # numpy pads headers so that a grown first axis still fits: both have the same length.
        about = {"descr": "|u1", "fortran_order": False, "shape": (count, *size, channels)}
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

    def __init__(self, channels: int) -> None:
        self.count, self.channels = 0, channels
        self.sums = np.zeros((2, channels), np.int64)

    def add(self, image: NDArray[np.uint8]) -> None:
        """Take in an image, uint8 (H, W, channels)."""
        values = image.reshape(-1, self.channels).astype(np.int64)
        self.count += len(values)
        self.sums += np.stack([values.sum(0), (values * values).sum(0)])

    def tensor_units(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel of the values mapped to [-1, 1]."""
        first, second = ([int(value) for value in row] for row in self.sums)
        mean = [a / self.count for a in first]
        std = [math.sqrt(b * self.count - a * a) / self.count for a, b in zip(first, second, strict=True)]
        return tuple(value / 127.5 - 1 for value in mean), tuple(value / 127.5 for value in std)
