"""Arrays of images on disk that grow row by row, and their statistics, in a few images' memory."""

import math
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


class ImageRows:
    """An .npy file of shape (N, side, side, channels), uint8, for an N that is known only in the end.

    Use it in a `with`: leaving it without an error writes the true N into the header.
    """

    def __init__(self, path: Path, side: int, channels: int = 3) -> None:
        self.path, self.side, self.channels, self.count = path, side, channels, 0
        self._file: BinaryIO = path.open("wb")
        self._header()

    def __enter__(self) -> "ImageRows":
        return self

    def append(self, image: NDArray[np.uint8]) -> None:
        """Write one more image, uint8 (side, side, channels)."""
        self._file.write(np.ascontiguousarray(image).data)
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.seek(0)
            self._header()
        self._file.close()

    def _header(self) -> None:
        # numpy pads headers so that a grown first axis still fits: both have the same length.
        shape = (self.count, self.side, self.side, self.channels)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})


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
