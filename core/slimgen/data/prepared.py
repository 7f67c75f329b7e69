"""Prepared images: their manifest, and their splits as memory-mapped arrays."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from slimgen.errors import DataError
from slimgen.files import MANIFEST, array_file, sha256_file
from slimgen.size import Size

SIDES = ("input", "target")
RGB = 3
#: Version of the folder's format; raised when its meaning changes, so that an older cache is not read as a newer one.
VERSION = 1
_AGAIN = "prepare the data again"


class SplitRecord(BaseModel):
    """Split in the manifest: `names[i]` is the pair in row i of the arrays, uint8 (count, height, width, channels).

    For two sets of images, `count` and `names` describe the inputs, and the targets are a separate set with one row
    for each of `target_names`. For pairs, `target_names` and `paired` are None.

    Attributes:
        side: height and width in pixels; stored as one number where they are equal.
        sha256: SHA-256 of each array's file, by side.
        paired: whether row i of input and of target show the same scene.
        channels: channels of the inputs, None for 3: those of pictures; 1 for class ids of label maps, 2 with instance
            edges (0 or 255); 0 where generators take noise and there is no input.
        target_channels: channels of the target pictures, None for 3.
        scale: factor by which targets are larger than inputs; None for 1.
        shapes: height and width of every input, where pictures keep their own sizes. The arrays then hold the pixels of
            all pictures, one after the other: uint8 (pixels, channels).
        groups: number of rows in each named set of test images, which follow each other; None for a single set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    side: Size
    names: tuple[str, ...]
    sha256: dict[str, str]
    target_names: tuple[str, ...] | None = None
    paired: bool | None = None
    channels: int | None = None
    target_channels: int | None = None
    scale: int | None = None
    shapes: tuple[Size, ...] | None = None
    groups: dict[str, int] | None = None

    def wide(self, which: str) -> int:
        """Return the number of channels of `input` or `target`."""
        channels = self.channels if which == "input" else self.target_channels
        return RGB if channels is None else channels

    def times(self, which: str) -> int:
        """Return how many times larger than the inputs the pictures of `input` or `target` are."""
        return 1 if which == "input" else self.scale or 1

    def array_shape(self, which: str) -> tuple[int, ...]:
        """Return the shape of the array of `input` or `target`."""
        times, channels = self.times(which), self.wide(which)
        if self.shapes is not None:
            return (times * times * sum(high * wide for high, wide in self.shapes), channels)
        return (len(self.rows(which)), *(times * side for side in self.side), channels)

    def rows(self, which: str) -> tuple[str, ...]:
        """Return the names of the rows of `input` or `target`."""
        return self.names if which == "input" or self.target_names is None else self.target_names


class Manifest(BaseModel):
    """Record of a preparation: its sources, its results, and its `slimgen.data.conversion.Setting`.

    Attributes:
        version: version of this format.
        layout: layout of the data set.
        splits: train, val and test.
        sources: SHA-256 of each source file, by its path in the data set.
        rejected: reason for each rejected pair or image, by the path of the file at fault.
        unmatched: images without a partner; `lonely` in older manifests.
        mean: mean of each channel of train in [-1, 1], by side with pictures.
        std: standard deviation of each channel of train, likewise.
        ranges: values that became 0 and 255, by side with pictures of more than 8 bits.
        notes: notes for the user, shown once and not stored.
        digest: SHA-256 over the arrays and the settings that shaped them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    layout: str
    direction: str
    size: Size
    load: Size
    seed: int
    validation: int | float
    test: int | float | None = None
    fit: str | None = None
    splits: dict[str, SplitRecord]
    sources: dict[str, str]
    rejected: dict[str, str]
    unmatched: tuple[str, ...] = Field(validation_alias=AliasChoices("unmatched", "lonely"))
    mean: dict[str, tuple[float, ...]]
    std: dict[str, tuple[float, ...]]
    ranges: dict[str, tuple[float, float]] | None = None
    notes: tuple[str, ...] = Field(default=(), exclude=True)
    digest: str


@dataclass(frozen=True)
class Split:
    """Split of pairs or of two sets: `input` and `target` are uint8 (N, height, width, channels).

    Pictures that keep their own sizes are read with `picture`: both arrays are then uint8 (pixels, channels).

    The channels of inputs are those of pictures or label maps, or 0 without inputs; see `SplitRecord`.

    Attributes:
        name: train, val or test.
        target: wanted outputs. In two sets, N may differ from that of the inputs.
        names: names of the rows of input and, in pairs, of target.
        target_names: names of the rows of target in two sets; None for pairs.
        paired: whether row i of both show the same scene. In two sets only evaluation may use this; training and search
            must not.
        scale: factor by which targets are larger than inputs.
        shapes: height and width of every input, of pictures that keep their own sizes.
        groups: number of rows in each named set of test images.
    """

    name: str
    input: NDArray[np.uint8]
    target: NDArray[np.uint8]
    names: tuple[str, ...]
    target_names: tuple[str, ...] | None = None
    paired: bool = True
    scale: int = 1
    shapes: tuple[Size, ...] | None = None
    groups: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of images in an epoch, that of the larger side."""
        return max(len(self.input), len(self.target)) if self.shapes is None else len(self.shapes)

    def picture(self, which: str, row: int) -> NDArray[np.uint8]:
        """Return the picture of a row of `input` or `target`, uint8 (height, width, channels)."""
        array = self.input if which == "input" else self.target
        if self.shapes is None:
            picture: NDArray[np.uint8] = array[row]
            return picture
        times = 1 if which == "input" else self.scale
        high, wide = self.shapes[row]
        first, pixels = times * times * self._starts[row], times * times * high * wide
        return array[first : first + pixels].reshape(times * high, times * wide, -1)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(high * wide for high, wide in self.shapes or ())]

    @property
    def coupled(self) -> bool:
        """Whether this is a split of pairs and not of two sets."""
        return self.target_names is None

    @property
    def inputless(self) -> bool:
        """Whether there are only targets, for generators from noise."""
        return bool(self.input.shape[-1] == 0)


@dataclass(frozen=True)
class Prepared:
    """Prepared data set, created by `Prepared.open`. If `joined`, `train` includes the validation images."""

    folder: Path
    manifest: Manifest
    joined: bool = False

    @classmethod
    def open(cls, folder: Path, *, verify: bool = False) -> "Prepared":
        """Open a folder that `prepare` wrote; `verify` compares the SHA-256 of every array, not only its shape.

        Raises:
            DataError: the folder is incomplete, damaged or of another version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(f"{folder} must contain prepared data", f"no {MANIFEST}", "run `slimgen prepare` first")
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise DataError(f"cannot read {path}: the manifest is damaged", None, _AGAIN) from error
        if manifest.version != VERSION:
            raise DataError(f"{path} must have version {VERSION}", f"version {manifest.version}", _AGAIN)
        prepared = cls(folder, manifest)
        if digest_of(manifest) != manifest.digest:
            raise DataError(f"the digest in {path} does not match its content", None, _AGAIN)
        for name, record in manifest.splits.items():
            prepared.split(name)
            for side in SIDES if verify else ():
                array = folder / array_file(name, side)
                if sha256_file(array) != record.sha256[side]:
                    raise DataError(f"{array} does not match the SHA-256 in its manifest", None, _AGAIN)
        return prepared

    def split(self, name: str) -> Split:
        """Return one split as read-only, memory-mapped arrays.

        Raises:
            DataError: there is no such split, or its arrays are damaged.
        """
        record = self.manifest.splits.get(name)
        if record is None:
            raise DataError(f"a split must be one of {', '.join(self.manifest.splits)}", repr(name))
        source, target = (_mapped(self.folder / array_file(name, side), record, side) for side in SIDES)
        if self.joined and name == "train":
            val = self.split("val")
            source, target = (np.concatenate(parts) for parts in ((source, val.input), (target, val.target)))
            return Split(name, source, target, (*record.names, *val.names))
        own: dict[str, Any] = {"scale": record.scale or 1, "shapes": record.shapes, "groups": record.groups or {}}
        return Split(name, source, target, record.names, record.target_names, record.paired is not False, **own)

    def with_validation(self) -> "Prepared":
        """Return the data with the validation images in `train`, for trainings that choose nothing by validation.

        That split is held in memory. Raise DataError if train and val differ in kind or size.
        """
        splits = self.manifest.splits
        apart = splits["train"].shapes is not None or splits["train"].side != splits["val"].side
        if apart or self.split("train").target_names is not None:
            sides = f"images of {splits['train'].side} and {splits['val'].side}"
            rule = "training and validation images must be of one kind and size to be joined"
            raise DataError(rule, f"two sets, or {sides}")
        return replace(self, joined=True)


def digest_of(manifest: Manifest) -> str:
    """Return the SHA-256 over the arrays' hashes, the names of their rows and the settings that shaped them."""
    shaping = {"version", "direction", "size", "load", "splits"}
    content = manifest.model_dump(mode="json", include=shaping, exclude_none=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _mapped(path: Path, record: SplitRecord, which: str) -> NDArray[np.uint8]:
    shape = record.array_shape(which)
    try:
        array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        came = f"a damaged or missing file ({error})"
        raise DataError(f"{path} must be an array of shape {shape}", came, _AGAIN) from error
    counts = {record.count, len(record.names), len(record.names if record.shapes is None else record.shapes)}
    if array.shape != shape or array.dtype != np.uint8 or len(counts) > 1:
        raise DataError(f"{path} must be uint8 of shape {shape}", f"{array.dtype} of shape {array.shape}", _AGAIN)
    return array
