"""Images that lie in files as raw bytes, one after the other, written out as files of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from slimgen.errors import DataError

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


def write_images(folder: Path, records: Records) -> int:
    """Writes every image as a PNG into the folder of its split, and removes the files of records.

    Names are of the file and the image's number in it, from 0: `train/data_batch_1-00000.png`.

    Args:
        folder: with the files.
        records: how they lie in them.

    Returns:
        How many there are.

    Raises:
        DataError: a file is missing, empty, or ends amid an image.
    """
    count = 0
    for split, names in records.files.items():
        (folder / split).mkdir()
        for name in names:
            path = folder / name
            size = path.stat().st_size if path.is_file() else 0
            if not size or size % records.length:
                rule = f"{name} holds whole images of {records.length} bytes each"
                raise DataError(rule, f"{size:,} bytes" if path.is_file() else "no such file", "get the archive again")
            count += _write(path, folder / split, records)
            path.unlink()
    return count


def _write(path: Path, folder: Path, records: Records) -> int:
    """The images of one file."""
    # Of an array (rows, 3, height, width) or (rows, 3, width, height).
    axes = (0, 3, 2, 1) if records.columns else (0, 2, 3, 1)
    count = 0
    with path.open("rb") as file:
        while block := file.read(_TOGETHER * records.length):
            rows = np.frombuffer(block, np.uint8).reshape(-1, records.length)[:, records.label :]
            for image in rows.reshape(-1, 3, records.side, records.side).transpose(axes):
                # Lossless at any level; this one is several times as fast as the default.
                target = folder / f"{path.stem}-{count:05d}.png"
                Image.fromarray(np.ascontiguousarray(image)).save(target, compress_level=1)
                count += 1
    return count
