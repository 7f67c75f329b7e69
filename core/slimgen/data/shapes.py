"""Cutting and resizing of pictures to the shape of their split, and writing them as rows of its arrays."""

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
    """Return a side's part of an image (H, W, channels): all of it, or one half.

    Raises:
        Rejected: the width is odd, so there are no equal halves.
    """
    if which.half == "whole":
        return image
    width = image.shape[1]
    if width % 2:
        raise Rejected(which.path, f"is {width} pixels wide, but two images side by side need an even width")
    return image[:, : width // 2] if which.half == "left" else image[:, width // 2 :]


@dataclass(frozen=True)
class Frame:
    """Size and fit of the pictures of a split.

    Attributes:
        size: size of the rows.
        crop: size of training crops; smaller pictures are rejected.
        fit: treatment of pictures of another aspect ratio; None rejects them, so that no picture is distorted without
            being asked for.
    """

    size: Size
    crop: Size
    fit: Fit | None = None

    def fitted(self, path: Path, image: NDArray[NumberT], *, by_area: bool = False) -> NDArray[NumberT]:
        """Return a picture (H, W, channels), or a map (H, W), cut or padded to the aspect ratio of the rows.

        For `squash` it is unchanged, since resizing does the rest.

        Raises:
            Rejected: it has another aspect ratio and there is no `fit`; or the result is smaller than the crop or, with
                `by_area`, has fewer pixels.
        """
        shape = Size(*image.shape[:2])
        fitted = image if self.fit in (None, "squash") else self._cut_or_padded(path, image)
        if self.fit is None and not alike(shape, self.crop):
            reason = f"is {shape.spoken}, with another aspect ratio than {self.crop}"
            raise Rejected(path, reason, "set data.fit to squash, crop or pad")
        high, wide = (side / wanted for side, wanted in zip(fitted.shape, self.crop, strict=False))
        part = math.sqrt(high * wide) if by_area else min(high, wide)
        if part < 1:
            how = "which is fewer pixels than" if by_area else "smaller than"
            at_most = Size(*(max(1, math.floor(part * side + 1e-9)) for side in self.crop))
            reason = f"is {shape.spoken}, {how} the crop of {self.crop}"
            raise Rejected(path, reason, f"set size to at most {at_most.plain} to use it")
        return fitted

    def shape_of(self, shape: Size) -> Size:
        """Return height and width of a picture after cutting or padding, before resizing."""
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
            raise Rejected(path, f"is {shape.spoken}, too narrow to pad to the aspect ratio of {self.size}")
        rows, columns = (
            np.clip(np.arange(most) - (most - side) // 2, 0, side - 1) for most, side in zip(around, shape, strict=True)
        )
        padded: NDArray[NumberT] = image[rows][:, columns]
        return padded


def _within(shape: Size, aspect: Size) -> tuple[int, int]:
    """Return height and width of the largest part of a picture with an aspect ratio."""
    return (
        min(shape.height, max(1, round(shape.width * aspect.height / aspect.width))),
        min(shape.width, max(1, round(shape.height * aspect.width / aspect.height))),
    )


def _around(shape: Size, aspect: Size) -> tuple[int, int]:
    """Return height and width of the smallest area with an aspect ratio that contains a picture."""
    return (
        max(shape.height, round(shape.width * aspect.height / aspect.width)),
        max(shape.width, round(shape.height * aspect.width / aspect.height)),
    )


def resize(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Resize an image (H, W, channels): bicubic, antialiased."""
    if image.shape[:2] == size:
        return image
    # Band by band unless there are three: Pillow would take the fourth of four for alpha, and weight by it.
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
    """Resize a map of numbers (H, W) to the nearest pixels."""
    rows, columns = (
        (2 * np.arange(side) + 1) * length // (2 * side) for side, length in zip(size, ids.shape, strict=True)
    )
    resized: NDArray[NumberT] = ids[np.ix_(rows, columns)]
    return resized


def mark(image: NDArray[np.uint8]) -> bytes:
    """Return a digest of an image (H, W, channels), equal for equal pixels."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


@contextmanager
def image_rows(path: Path, size: Size | None, channels: int) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Open an .npy file (N, height, width, channels), uint8, and provide a function that appends an image.

    Without a size, images may have any, and the file holds their pixels: (pixels, channels). The number of images or
    pixels need not be known before the end.
    """
    count = 0

    def header() -> None:
        # numpy pads headers, so the final one, with a larger first axis, has the same length.
        about = {"descr": "|u1", "fortran_order": False, "shape": (count, *(size or ()), channels)}
        np.lib.format.write_array_header_1_0(file, about)

    def append(image: NDArray[np.uint8]) -> None:
        nonlocal count
        file.write(np.ascontiguousarray(image).data)
        count += 1 if size is not None else image.shape[0] * image.shape[1]

    with path.open("wb") as file:
        header()
        yield append
        file.seek(0)
        header()


class Moments:
    """Mean and standard deviation from sums of whole numbers, the same in any order and on any machine."""

    def __init__(self, channels: int) -> None:
        self.count, self.channels = 0, channels
        self.sums = np.zeros((2, channels), np.int64)

    def add(self, image: NDArray[np.uint8]) -> None:
        """Add an image, uint8 (H, W, channels)."""
        values = image.reshape(-1, self.channels).astype(np.int64)
        self.count += len(values)
        self.sums += np.stack([values.sum(0), (values * values).sum(0)])

    def tensor_units(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, with values mapped to [-1, 1]."""
        first, second = ([int(value) for value in row] for row in self.sums)
        mean = [a / self.count for a in first]
        std = [math.sqrt(b * self.count - a * a) / self.count for a, b in zip(first, second, strict=True)]
        return tuple(value / 127.5 - 1 for value in mean), tuple(value / 127.5 for value in std)
