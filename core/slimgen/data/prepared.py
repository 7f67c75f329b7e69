"""Prepared images: what was written once, its manifest, and its splits as memory-mapped arrays."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from slimgen.errors import DataError
from slimgen.files import MANIFEST, array_file, sha256_file
from slimgen.size import Size

SIDES = ("input", "target")
RGB = 3
#: The format of the folder; raised when its meaning changes, so that no older cache is read as a newer one.
VERSION = 1
_AGAIN = "prepare the data again"


class SplitRecord(BaseModel):
    """One split of the manifest: `names[i]` is the pair in row i of the arrays, uint8 (count, height, width, channels).

    Of two sets of images, `count` and `names` are the inputs', and the targets are a set of their own, with as many
    rows as there are `target_names`. Both are absent of pairs.

    Attributes:
        side: height and width in pixels; one number, of a side, where they are equal.
        sha256: of each array's file, by side.
        paired: row i of input and of target show the same.
        channels: of input, where they are not 3: those of its pictures; or 1 of a label map, its class ids; 2 with the
            edges of instances (0 or 255); 0 where images are to be made of noise, so that there is no input.
        target_channels: of the pictures of target, where they are not 3.
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

    def wide(self, which: str) -> int:
        """The channels of `input` or `target`."""
        channels = self.channels if which == "input" else self.target_channels
        return RGB if channels is None else channels

    def rows(self, which: str) -> tuple[str, ...]:
        """The names of the rows of `input` or `target`."""
        return self.names if which == "input" or self.target_names is None else self.target_names


class Manifest(BaseModel):
    """What was prepared, of what, and how: by the `slimgen.data.conversion.Setting` whose fields it repeats.

    Attributes:
        version: of this format.
        layout: the layout that was found.
        splits: train, val and test.
        sources: SHA-256 of each source file, by its path in the data set.
        rejected: the reason for each pair or image left out, by the path of the file at fault.
        unmatched: images without a partner; `lonely` in older manifests.
        mean: per side that holds pictures, the mean of each channel of train in [-1, 1].
        std: likewise, the standard deviation of each channel of train, same unit.
        ranges: per side of pictures of more than 8 bits, the values that became 0 and 255.
        notes: what should be told of the data set, once; not stored.
        digest: SHA-256 over the arrays and what shaped them.
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
    """One split: `input` and `target` are uint8 (N, height, width, channels), of pairs or of two sets.

    Inputs that are label maps have 1 or 2 channels instead, and none where there is no input, as `SplitRecord` says.

    Attributes:
        name: train, val or test.
        target: what input is translated to. Of two sets, N may be another.
        names: of the rows of input, and, of pairs, of target.
        target_names: of two sets, the names of the rows of target; None of pairs.
        paired: row i of both show the same. Of two sets that is for evaluation alone: neither training nor search may
            make use of it.
    """

    name: str
    input: NDArray[np.uint8]
    target: NDArray[np.uint8]
    names: tuple[str, ...]
    target_names: tuple[str, ...] | None = None
    paired: bool = True

    def __len__(self) -> int:
        """Images in an epoch: those of the larger side."""
        return max(len(self.input), len(self.target))

    @property
    def coupled(self) -> bool:
        """Whether this is a split of pairs, which are shown together, and not of two sets."""
        return self.target_names is None

    @property
    def inputless(self) -> bool:
        """Whether there are only targets, which generators make of noise."""
        return bool(self.input.shape[3] == 0)


@dataclass(frozen=True)
class Prepared:
    """A prepared data set. Build it with `Prepared.open`. If `joined`, `train` holds the validation images too."""

    folder: Path
    manifest: Manifest
    joined: bool = False

    @classmethod
    def open(cls, folder: Path, *, verify: bool = False) -> "Prepared":
        """Open what `prepare` wrote; where to `verify`, the SHA-256 of every array is compared, otherwise only sizes.

        Raises:
            DataError: if the folder is incomplete, damaged or of another version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(f"{folder} holds prepared data", f"no {MANIFEST}", "run `slimgen prepare` first")
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise DataError(f"{path} is a manifest of prepared data", "a damaged one", _AGAIN) from error
        if manifest.version != VERSION:
            raise DataError(f"{path} is of version {VERSION}", f"version {manifest.version}", _AGAIN)
        prepared = cls(folder, manifest)
        if digest_of(manifest) != manifest.digest:
            raise DataError(f"the digest of {path} is that of its content", "another", _AGAIN)
        for name, record in manifest.splits.items():
            prepared.split(name)
            for side in SIDES if verify else ():
                array = folder / array_file(name, side)
                if sha256_file(array) != record.sha256[side]:
                    raise DataError(f"{array} has the SHA-256 of its manifest", "another", _AGAIN)
        return prepared

    def split(self, name: str) -> Split:
        """One split as memory-mapped arrays, read only.

        Raises:
            DataError: if there is no such split, or its arrays are damaged.
        """
        record = self.manifest.splits.get(name)
        if record is None:
            raise DataError(f"a split is one of {', '.join(self.manifest.splits)}", repr(name))
        source, target = (_mapped(self.folder / array_file(name, side), record, side) for side in SIDES)
        if self.joined and name == "train":
            val = self.split("val")
            source, target = (np.concatenate(parts) for parts in ((source, val.input), (target, val.target)))
            return Split(name, source, target, (*record.names, *val.names))
        return Split(name, source, target, record.names, record.target_names, record.paired is not False)

    def with_validation(self) -> "Prepared":
        """The same images, those held out for validation among those to train on: for training once nothing is chosen.

        Its split `train` is held in memory. Raises DataError where train and val are not of one kind and size.
        """
        splits = self.manifest.splits
        if self.split("train").target_names is not None or splits["train"].side != splits["val"].side:
            sides = f"images of {splits['train'].side} and {splits['val'].side}"
            raise DataError("images to train and to validate on are joined where they are alike", f"sets, or {sides}")
        return replace(self, joined=True)


def digest_of(manifest: Manifest) -> str:
    """SHA-256 over the hashes of the arrays, the names of their rows and what shaped them."""
    shaping = {"version", "direction", "size", "load", "splits"}
    content = manifest.model_dump(mode="json", include=shaping, exclude_none=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _mapped(path: Path, record: SplitRecord, which: str) -> NDArray[np.uint8]:
    shape = (len(record.rows(which)), *record.side, record.wide(which))
    try:
        array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        came = f"a damaged or missing file ({error})"
        raise DataError(f"{path} is an array of shape {shape}", came, _AGAIN) from error
    if array.shape != shape or array.dtype != np.uint8 or record.count != len(record.names):
        raise DataError(f"{path} is uint8 of shape {shape}", f"{array.dtype} of shape {array.shape}", _AGAIN)
    return array
