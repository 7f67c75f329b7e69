"""Preparation of images without inputs, for generators from noise and for single pictures."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimgen.data.archives import extract
from slimgen.data.conversion import Found, Progress, Read, Row, Setting, convert
from slimgen.data.division import divide
from slimgen.data.forms import forms_of
from slimgen.data.images import Form, decode
from slimgen.data.layouts import SPLITS, Files, some_images
from slimgen.data.prepared import Manifest
from slimgen.data.shapes import Frame, mark, resize
from slimgen.data.walking import passed_over
from slimgen.errors import DataError
from slimgen.size import Size

TESTED = 0.1
"""Share of the images that become test images, where the data set has no test or validation split."""


class ImageFile(NamedTuple):
    """Image, not yet read; its name, relative and with the suffix, is unique within its split."""

    name: str
    path: Path


def prepare_images(folder: Path, out: Path | None, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write images as arrays, each as the target of an input without channels; see `convert`.

    Unless the setting sets another `fit`, the largest part of the wanted aspect ratio is cut from the middle of each
    image, so that nothing is distorted, and resized (bicubic, antialiased). Training takes no crops, so `load` must be
    `size`, and images with a smaller side are rejected. If neither the data set nor the setting provides test images, a
    tenth of the training images is held out.

    The folder is a data set as for `find_images`, or a tar or zip archive of one, which is unpacked into `out`
    temporarily.

    Raises:
        DataError: as `convert`; or `load` differs from `size`, or the archive is refused.
    """
    if setting.load != setting.size:
        came = f"load {setting.load}, size {setting.size}"
        raise DataError("load must be size for images without inputs, which are not cropped", came, "leave load out")
    with _folder_of(folder, out) as source:
        found = found_images(source, setting)
        if setting.test is None and not found.files.splits.keys() & {"test", "val"}:
            setting = replace(setting, test=TESTED)
        splits = divide(found.files.splits, setting, "images", usable=found.usable(setting))
        how: dict[str, Any] = {"found": found.files, "unit": "image", "forms": found.forms, "channels": 0}
        return convert(source, out, splits, found.decode, setting, progress, **how)


def found_images(folder: Path, setting: Setting) -> Found[ImageFile]:
    """Find images and their decoder; raise DataError as `find_images` and `forms_of`."""
    files = find_images(folder)
    forms = forms_of({"target": [one.path for split in files.splits.values() for one in split]}, setting.range)
    return Found(files, forms, partial(_image, forms.sides["target"]))


def prepare_single(folder: Path, out: Path | None, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write images as `prepare_images` does, as test images only: those in `test/` if there are any, else all.

    Raises:
        DataError: as `convert`; or the archive is refused.
    """
    with _folder_of(folder, out) as source:
        found = found_images(source, setting)
        images = found.files.splits.get("test", found.files.splits["train"])
        how: dict[str, Any] = {"found": found.files, "unit": "image", "forms": found.forms, "channels": 0}
        return convert(source, out, {"test": images}, found.decode, setting, progress, **how)


def find_images(folder: Path) -> Files[ImageFile]:
    """Find the images of a data set: those in `train/`, `val/` and `test/`, or those in the folder itself.

    Folders are searched to any depth, so there may be one for each class; hidden files are passed over.

    Raises:
        DataError: the folder is missing, has splits but no `train/`, or has no images in itself or in a split.
    """
    if not folder.is_dir():
        raise DataError(f"no data set at {folder}: there is no such folder or archive", None, "check --data")
    there = [split for split in SPLITS if (folder / split).is_dir()]
    if there and "train" not in there:
        rule = f"{folder} must have training images in train/"
        hint = "rename a folder to train, or give a folder without splits"
        raise DataError(rule, f"only {' '.join(f'{split}/' for split in there)}", hint)
    found = {split: _images(folder / split) for split in there} if there else {"train": _images(folder)}
    used = [image.path for images in found.values() for image in images]
    return Files(" and ".join(there) or "one folder", found, passed=passed_over(folder, used))


def _images(folder: Path) -> tuple[ImageFile, ...]:
    return tuple(ImageFile(path.relative_to(folder).as_posix(), path) for path in some_images(folder))


@contextmanager
def _folder_of(source: Path, out: Path | None) -> Iterator[Path]:
    """Provide the data set as a folder; an archive is unpacked into `out` and removed at the end."""
    if not source.is_file():
        yield source
        return
    if out is None:
        with TemporaryDirectory() as place, _folder_of(source, Path(place)) as unpacked:
            yield unpacked
        return
    unpacked = out / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # left by a killed preparation
    extract(source, unpacked)
    try:
        yield unpacked
    finally:
        shutil.rmtree(unpacked)


def _image(form: Form, file: ImageFile, read: Read, frame: Frame) -> dict[str, Row]:
    image = decode(file.path, read(file.path), form)
    fitted = customary(frame).fitted(file.path, image)
    shape = Size(*image.shape[:2])
    nothing: NDArray[np.uint8] = np.empty((*frame.size, 0), np.uint8)
    made = Row(file.name, resize(fitted, frame.size), shape, mark(image))
    return {"input": Row(file.name, nothing, shape), "target": made}


def customary(frame: Frame) -> Frame:
    """Return the frame of single images: cropped, unless another `fit` is set."""
    return replace(frame, fit=frame.fit or "crop")
