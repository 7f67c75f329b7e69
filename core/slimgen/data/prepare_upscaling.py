"""Preparation of pictures for upscaling: whole, beside the same pictures made smaller."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimgen.data.bicubic import imresize
from slimgen.data.conversion import Found, Progress, Read, Row, Setting, Written, convert
from slimgen.data.division import divide
from slimgen.data.forms import forms_of
from slimgen.data.high_resolution import ScaledFiles, find_scaled, groups_of
from slimgen.data.images import Form, Rejected, decode
from slimgen.data.prepare_images import TESTED
from slimgen.data.prepared import Manifest, SplitRecord
from slimgen.data.shapes import Frame, mark
from slimgen.size import Size

LEAST = 8
"""Fewest pixels of a side of a test image made smaller."""
WHOLE = ("train", "test")
"""Splits whose pictures keep their own sizes."""


def prepare_upscaling(
    folder: Path,
    out: Path | None,
    setting: Setting,
    progress: Progress | None = None,
    *,
    scale: int,
    trained: bool = True,
) -> Manifest:
    """Write pictures as targets, and the same pictures made smaller by the scale as inputs; see `convert`.

    A picture is cropped at its right and bottom to a multiple of the scale. Where the data set has no smaller one it is
    made by `imresize`; one that it has must be exactly `scale` times smaller.

    Train and test keep whole pictures, each pixel once, so that training can crop patches anywhere. A picture of val is
    the patch of `size` from the middle of a held-out one, so that candidates are compared on images of one size.

    If neither the data set nor the setting provides test images, a tenth of the training images is held out. Without
    `trained`, only test images are written.

    Args:
        folder: the data set; see `find_scaled`.
        out: folder for the arrays; None only reports.
        setting: its `size` is that of an input patch.
        progress: see `convert`.
        scale: factor of the upscaling.
        trained: whether the data set is to train on.

    Raises:
        DataError: as `find_scaled` and `convert`.
    """
    found = found_scaled(folder, setting, scale, trained=trained)
    splits: dict[str, tuple[ScaledFiles, ...]] = found.files.splits
    if trained:
        if setting.test is None and not splits.keys() & {"test", "val"}:
            setting = replace(setting, test=TESTED)
        splits = divide(splits, setting, "images", usable=found.usable(setting))
        splits = {name: tuple(replace(one, split=name) for one in files) for name, files in splits.items()}
    belongs = {one.name: one.group for one in splits["test"]} if groups_of(splits["test"]) else {}

    def describe(written: Mapping[str, Written]) -> dict[str, SplitRecord]:
        records = {name: split.record() for name, split in written.items()}
        groups = Counter(belongs[name] or "others" for name in records["test"].names) if belongs else {}
        if len(groups) > 1:
            records["test"] = records["test"].model_copy(update={"groups": dict(groups)})
        return records

    how: dict[str, Any] = {"found": found.files, "unit": "image", "forms": found.forms, "describe": describe}
    return convert(folder, out, splits, found.decode, setting, progress, scale=scale, whole=WHOLE, **how)


def found_scaled(folder: Path, setting: Setting, scale: int, *, trained: bool = True) -> Found[ScaledFiles]:
    """Find pictures and their decoder, all to the same channels; raise DataError as `find_scaled` and `forms_of`."""
    files = find_scaled(folder, scale, trained=trained)
    every = [one for split in files.splits.values() for one in split]
    sides = {"input": [one.low or one.high for one in every], "target": [one.high for one in every]}
    forms = forms_of(sides, setting.range, joint=True)
    return Found(files, forms, partial(_scaled, forms.sides, scale))


def _scaled(forms: Mapping[str, Form], scale: int, files: ScaledFiles, read: Read, frame: Frame) -> dict[str, Row]:
    whole = decode(files.high, read(files.high), forms["target"])
    shape, small = Size(*whole.shape[:2]), Size(*(side // scale for side in whole.shape[:2]))
    least = Size(LEAST, LEAST) if files.split == "test" else frame.size
    if not least.within(small):
        what = "the least for a test image" if files.split == "test" else "a training patch"
        rule = f"is {shape.spoken}, smaller than {what}: {scale} times {least}"
        hint = f"set size to at most {min(small)} to use it" if files.split != "test" and min(small) >= LEAST else None
        raise Rejected(files.high, rule, hint)
    high = whole[: scale * small.height, : scale * small.width]
    low = (
        imresize(high, Fraction(1, scale))
        if files.low is None
        else _given(files.low, read, forms["input"], small, scale)
    )
    if files.split == "val":
        top, left = ((side - part) // 2 for side, part in zip(small, frame.size, strict=True))
        low, high = _cut(low, top, left, frame.size), _cut(high, scale * top, scale * left, _times(frame.size, scale))
    return {"input": Row(files.name, low, shape), "target": Row(files.name, high, shape, mark(whole))}


def _given(path: Path, read: Read, form: Form, size: Size, scale: int) -> NDArray[np.uint8]:
    """Return the given smaller picture; raise Rejected if it is not of this size."""
    low = decode(path, read(path), form)
    if (shape := Size(*low.shape[:2])) != size:
        raise Rejected(path, f"is {shape.spoken}, but its partner made {scale} times smaller is {size.spoken}")
    return low


def _times(size: Size, scale: int) -> Size:
    return Size(scale * size.height, scale * size.width)


def _cut(image: NDArray[np.uint8], top: int, left: int, size: Size) -> NDArray[np.uint8]:
    return image[top : top + size.height, left : left + size.width]
