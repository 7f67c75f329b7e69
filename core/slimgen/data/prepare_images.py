"""Decode images that are to be made of noise once, into arrays that training maps into memory."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimgen.data.archives import extract
from slimgen.data.conversion import Decoded, Progress, Row, Setting, Written, convert
from slimgen.data.division import divide, held_out
from slimgen.data.images import SUFFIXES, Rejected, contents, decode
from slimgen.data.layouts import SPLITS, image_files
from slimgen.data.prepared import Manifest, SplitRecord
from slimgen.data.shapes import resize
from slimgen.errors import DataError

TESTED = 0.1
"""Share of the images that is tested on, where the data set does not say which."""


class ImageFile(NamedTuple):
    """One image, not yet read; its name, relative and with the suffix, is unique within its split."""

    name: str
    path: Path


@dataclass(frozen=True)
class Images:
    """What a folder holds: the images of each split that is there, in the order of their names."""

    layout: str
    splits: dict[str, tuple[ImageFile, ...]]


def prepare_images(
    folder: Path,
    out: Path,
    *,
    size: int,
    load: int,
    direction: str,
    validation: int | float,
    seed: int,
    progress: Progress | None = None,
) -> Manifest:
    """Write a set of images as arrays: `train`, `val` and `test`, each as targets of an input without channels.

    Of each image the middle square is taken, so that nothing is distorted, and resized: bicubic, antialiased. Nothing
    is cropped from images later, so `load` is `size`.

    Where the data set does not say which images to test on, a tenth of those to train on is, and the validation images
    are held out of the rest, both chosen by the hash of (seed, name): adding images hardly changes which. A data set
    with both `val` and `test` keeps its own `val`; one with `val` alone is tested on it.

    `manifest.json` is written last, as `prepare_pairs` does. Memory stays at a few images and their names.

    Args:
        folder: the data set, as `find_images` finds it; or a tar or zip archive of one, which is unpacked into `out`
            for as long as it takes.
        out: where to write.
        size: pixels of a side. Images with a smaller side are rejected.
        load: the same.
        direction: is kept in the manifest; images that are made of noise have none.
        validation: how many images of train to hold out, or which fraction.
        seed: chooses them.
        progress: called with (images done, all images).

    Raises:
        DataError: if `load` is another size, there are no images, a split ends empty, most images are rejected, or the
            archive is refused.
    """
    setting = Setting(size, load, direction, validation, seed)
    if load != size:
        raise DataError("images to be made of noise are not cropped: load is size", f"load {load}, size {size}")
    with _folder_of(folder, out) as source:
        found = find_images(source)
        return convert(
            source,
            out,
            divide(_tested(found.splits, seed), setting, "images"),
            _image,
            _records,
            setting=setting,
            layout=found.layout,
            unit="image",
            progress=progress,
            channels=0,
        )


def find_images(folder: Path) -> Images:
    """Find the images of a data set: those of `train/`, `val/` and `test/`, or those of the folder itself.

    Folders are searched to any depth, so images may lie in one of each class; hidden files are passed over.

    Raises:
        DataError: if the folder is missing, has splits but no `train/`, or it or one of its splits holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"the data set {folder} is a folder or an archive", "nothing there")
    there = [split for split in SPLITS if (folder / split).is_dir()]
    if there and "train" not in there:
        rule = f"a data set of folders has images to train on, in {folder}/train"
        raise DataError(rule, f"{', '.join(there)} alone", "name the folder train, or give a folder without splits")
    if not there:
        return Images("one folder", {"train": _images(folder)})
    return Images(" and ".join(there), {split: _images(folder / split) for split in there})


def _images(folder: Path) -> tuple[ImageFile, ...]:
    found = tuple(ImageFile(path.relative_to(folder).as_posix(), path) for path in image_files(folder))
    if not found:
        raise DataError(f"{folder} holds images", "no image files", f"images end with {' '.join(sorted(SUFFIXES))}")
    return found


@contextmanager
def _folder_of(source: Path, out: Path) -> Iterator[Path]:
    """The data set as a folder: an archive is unpacked beside what is made of it, and removed again."""
    if not source.is_file():
        yield source
        return
    unpacked = out / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a preparation that was killed
    extract(source, unpacked)
    try:
        yield unpacked
    finally:
        shutil.rmtree(unpacked)


def _tested(splits: Mapping[str, tuple[ImageFile, ...]], seed: int) -> dict[str, tuple[ImageFile, ...]]:
    """The splits, with one to test on."""
    if "test" in splits or "val" in splits:
        return dict(splits)
    train = splits["train"]
    # Another key than for the validation images, so that one choice says nothing of the other.
    held = held_out([f"test/{image.name}" for image in train], TESTED, seed, "images")
    return {
        "train": tuple(image for place, image in enumerate(train) if place not in held),
        "test": tuple(image for place, image in enumerate(train) if place in held),
    }


def _image(file: ImageFile, side: int, size: int) -> Decoded:
    sources: dict[Path, str] = {}
    try:
        data = contents(file.path)
        sources[file.path] = hashlib.sha256(data).hexdigest()
        image = decode(file.path, data)
        height, width = image.shape[:2]
        if min(height, width) < size:
            hint = f"set a size of at most {min(height, width)} to use it"
            raise Rejected(file.path, f"is {width} x {height}, smaller than {size} pixels", hint)
    except Rejected as fault:
        return Decoded(fault, sources)
    shape = height, width
    nothing = np.empty((side, side, 0), np.uint8)
    rows = {
        "input": Row(file.name, nothing, shape),
        "target": Row(file.name, resize(_square(image), side), shape),
    }
    return Decoded(rows, sources)


def _square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of an image (H, W, 3), as large as it can be."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _records(written: Mapping[str, Written]) -> dict[str, SplitRecord]:
    return {
        name: SplitRecord(
            count=len(split.names["target"]),
            side=split.side,
            names=tuple(split.names["target"]),
            sha256=split.sha256,
            channels=split.channels["input"],
        )
        for name, split in written.items()
    }
