"""Preparing images that are to be made of noise: which files they are, and what becomes of one image."""

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
"""Share of the images that is tested on, where the data set does not say which."""


class ImageFile(NamedTuple):
    """One image, not yet read; its name, relative and with the suffix, is unique within its split."""

    name: str
    path: Path


def prepare_images(folder: Path, out: Path | None, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write images as arrays, each as the target of an input without channels; see `convert`, which it is a case of.

    Where the setting does not say otherwise, the middle part of the wanted aspect is taken of each image, so that
    nothing is distorted, and resized: bicubic, antialiased. Nothing is cropped from images later, so `load` is `size`,
    and images with a smaller side are rejected. Where the data set
    does not say which images to test on, nor the setting how many, a tenth of those to train on is held out.

    The folder is a data set as `find_images` finds it, or a tar or zip archive of one, which is unpacked into `out` for
    as long as it takes.

    Raises:
        DataError: as `convert`; or if `load` is another size, or the archive is refused.
    """
    if setting.load != setting.size:
        came = f"load {setting.load}, size {setting.size}"
        raise DataError("images to be made of noise are not cropped: load is size", came)
    with _folder_of(folder, out) as source:
        found = found_images(source, setting)
        if setting.test is None and not found.files.splits.keys() & {"test", "val"}:
            setting = replace(setting, test=TESTED)
        splits = divide(found.files.splits, setting, "images", usable=found.usable(setting))
        how: dict[str, Any] = {"found": found.files, "unit": "image", "forms": found.forms, "channels": 0}
        return convert(source, out, splits, found.decode, setting, progress, **how)


def found_images(folder: Path, setting: Setting) -> Found[ImageFile]:
    """Images and how they are decoded; raises DataError as `find_images` and `forms_of`."""
    files = find_images(folder)
    forms = forms_of({"target": [one.path for split in files.splits.values() for one in split]}, setting.range)
    return Found(files, forms, partial(_image, forms.sides["target"]))


def prepare_single(folder: Path, out: Path | None, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write images as `prepare_images` does, none of them to train on: those of `test/` where there are any, else all.

    Raises:
        DataError: as `convert`; or if the archive is refused.
    """
    with _folder_of(folder, out) as source:
        found = found_images(source, setting)
        images = found.files.splits.get("test", found.files.splits["train"])
        how: dict[str, Any] = {"found": found.files, "unit": "image", "forms": found.forms, "channels": 0}
        return convert(source, out, {"test": images}, found.decode, setting, progress, **how)


def find_images(folder: Path) -> Files[ImageFile]:
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
    found = {split: _images(folder / split) for split in there} if there else {"train": _images(folder)}
    used = [image.path for images in found.values() for image in images]
    return Files(" and ".join(there) or "one folder", found, passed=passed_over(folder, used))


def _images(folder: Path) -> tuple[ImageFile, ...]:
    return tuple(ImageFile(path.relative_to(folder).as_posix(), path) for path in some_images(folder))


@contextmanager
def _folder_of(source: Path, out: Path | None) -> Iterator[Path]:
    """The data set as a folder: an archive is unpacked beside what is made of it, and removed again."""
    if not source.is_file():
        yield source
        return
    if out is None:
        with TemporaryDirectory() as place, _folder_of(source, Path(place)) as unpacked:
            yield unpacked
        return
    unpacked = out / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a preparation that was killed
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
    """What single images are made to be: cropped, unless something else is asked for."""
    return replace(frame, fit=frame.fit or "crop")
