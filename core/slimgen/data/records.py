"""Images that lie in files as raw bytes, one after the other, written out as files of their own."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimgen.errors import DataError

Written = Callable[[int, int], None]
"""Told how many images are written, and how many there are."""
_TOGETHER = 1000
"""Images that are read at a time."""


@dataclass(frozen=True)
class Records:
    """How the images of a data set lie in its files: RGB, a byte for each value, one plane after the other.

    Attributes:
        side: pixels of a side.
        files: split to the names of its files.
        label: bytes before each image, which say what it shows.
        columns: each plane lies column by column.
    """

    side: int
    files: Mapping[str, tuple[str, ...]]
    label: int = 0
    columns: bool = False

    @property
    def length(self) -> int:
        """Bytes of an image, with its label."""
        return self.label + 3 * self.side**2


def write_images(folder: Path, records: Records, written: Written | None = None) -> int:
    """Writes every image as a PNG into the folder of its split, and removes the files of records.

    Names are of the file and the image's number in it, from 0: `train/data_batch_1-00000.png`.

    Args:
        folder: with the files.
        records: how they lie in them.
        written: called now and then.

    Returns:
        How many there are.

    Raises:
        DataError: a file is missing, empty, or ends amid an image, or the folder of a split is there already.
    """
    splits = {folder / name: folder / split for split, names in records.files.items() for name in names}
    sizes = {path: path.stat().st_size if path.is_file() else 0 for path in splits}
    for path, size in sizes.items():
        if not size or size % records.length:
            rule = f"{path.name} holds whole images of {records.length} bytes each"
            raise DataError(rule, f"{size:,} bytes" if path.is_file() else "no such file")
    for split in dict.fromkeys(splits.values()):
        if split.exists():
            raise DataError(
                f"images of records are written into a folder {split.name} of their own", "one that is there"
            )
        split.mkdir()
    done, every = 0, sum(sizes.values()) // records.length
    for path, split in splits.items():
        for count in _write(path, split, records):
            done += count
            if written is not None:
                written(done, every)
        path.unlink()
    return done


def _write(path: Path, folder: Path, records: Records) -> Iterator[int]:
    """Writes the images of one file, and says how many after every few."""
    # Of an array (rows, 3, height, width) or (rows, 3, width, height).
    axes = (0, 3, 2, 1) if records.columns else (0, 2, 3, 1)
    count = 0
    with path.open("rb") as file:
        while block := file.read(_TOGETHER * records.length):
            rows = np.frombuffer(block, np.uint8).reshape(-1, records.length)[:, records.label :]
            images = rows.reshape(-1, 3, records.side, records.side).transpose(axes)
            for number, image in enumerate(images, count):
                # Lossless at any level; this one is several times as fast as the default.
                target = folder / f"{path.stem}-{number:05d}.png"
                Image.fromarray(np.ascontiguousarray(image)).save(target, compress_level=1)
            count += len(images)
            yield len(images)


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
