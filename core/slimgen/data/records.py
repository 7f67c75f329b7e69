"""Images that lie in files as raw bytes, one after the other, written out as files of their own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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
