"""Decoding of a data set in its order: pairs or images are read, and become rows or are rejected."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from slimgen.data.forms import Forms, Range
from slimgen.data.images import Rejected, alone, contents, quiet
from slimgen.data.layouts import Files
from slimgen.data.shapes import Frame
from slimgen.data.tally import Tally
from slimgen.errors import DataError
from slimgen.size import Fit, Size, alike

Read = Callable[[Path], bytes]
"""Function that reads a file and records its digest."""
ItemT = TypeVar("ItemT")
Decode = Callable[[ItemT, Read, Frame], "Mapping[str, Row]"]
"""Function from a pair or image, a reader of files and a frame to a row for each side."""


@dataclass(frozen=True)
class Setting:
    """Setting for the preparation of a data set.

    Attributes:
        size: size of images in val and test, and of training crops; a number is the side of a square.
        load: size of images in train, at least `size` and of its aspect ratio.
        direction: `AtoB` or `BtoA`: the side that is the input.
        validation: number (from 1) or fraction of train to hold out, of pairs or of each set of images.
        test: likewise for test images, held out first, in a data set without a test split; None requires that split.
        seed: seed of the choice of held-out images.
        fit: treatment of pictures of another aspect ratio; None rejects them, or crops them in tasks of single images.
        range: values that become black and white in pictures of more than 8 bits.

    Raises:
        DataError: the sizes do not fit each other.
    """

    size: Size
    load: Size
    direction: str = "AtoB"
    validation: int | float = 32
    seed: int = 0
    test: int | float | None = None
    fit: Fit | None = None
    range: Range | None = None

    def __post_init__(self) -> None:
        for name in ("size", "load"):
            value: Size | int = getattr(self, name)
            object.__setattr__(self, name, Size(value, value) if isinstance(value, int) else value)
        if not (min(self.size) > 0 and self.size.within(self.load) and alike(self.size, self.load)):
            rule = "size must be above 0, and load at least size with the same aspect ratio"
            raise DataError(rule, f"size {self.size}, load {self.load}")

    def frame(self, split: str) -> Frame:
        """Return the frame of a split's pictures."""
        return Frame(self.load if split == "train" else self.size, self.size, self.fit)


@dataclass(frozen=True)
class Row:
    """Image as it is written, uint8 (height, width, channels).

    Attributes:
        shape: height and width before resizing.
        mark: digest of its pixels before resizing, equal for equal images; empty where it is not needed.
    """

    name: str
    image: NDArray[np.uint8]
    shape: tuple[int, int]
    mark: bytes = b""


Decoded = tuple[Mapping[str, Row] | Rejected, Mapping[Path, str]]
"""Result for a pair or an image: its rows by side or the rejection, and the SHA-256 of the files read."""


@dataclass(frozen=True)
class Found(Generic[ItemT]):
    """Data set that was found: its files, the forms of its pictures, and the function that decodes a pair or image."""

    files: Files[ItemT]
    forms: Forms
    decode: Decode[ItemT]

    def usable(self, setting: Setting) -> Callable[[Iterable[ItemT]], Iterator[bool]]:
        """Return a function that yields, for each pair or image, whether it can be used for validation or test."""

        def judged(items: Iterable[ItemT]) -> Iterator[bool]:
            for rows, _ in in_order(items, self.decode, setting.frame("val")):
                yield not isinstance(rows, Rejected)

        return judged

    def examined(self, folder: Path, setting: Setting, see: Callable[[Size], None]) -> Tally:
        """Count what would be kept, without writing anything; `see` is called with the shape of each picture."""
        tally = Tally(folder, sum(map(len, self.files.splits.values())))
        for name, items in self.files.splits.items():
            for rows, sources in in_order(items, self.decode, setting.frame("val")):
                count(tally, name, rows, sources)
                for which, row in rows.items() if not isinstance(rows, Rejected) else ():
                    if which in self.forms.sides:
                        see(Size(*row.shape))
        return tally


def count(tally: Tally, split: str, rows: Mapping[str, Row] | Rejected, sources: Mapping[Path, str]) -> None:
    """Record the result of a pair or an image in the tally."""
    if isinstance(rows, Rejected):
        tally.refuse(rows)
    else:
        tally.keep(split, tuple((which, row.mark) for which, row in rows.items()))
    tally.read(sources)


def in_order(items: Iterable[ItemT], decode: Decode[ItemT], frame: Frame) -> Iterator[Decoded]:
    """Decode with all cores, a few images ahead, and yield the results in the order of the items."""
    cores = min(os.cpu_count() or 1, 8)
    ahead: deque[Future[Decoded]] = deque()
    with quiet(), ThreadPoolExecutor(cores) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(_decoded, item, decode, frame))
                if len(ahead) > 2 * cores:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decoded(item: ItemT, decode: Decode[ItemT], frame: Frame) -> Decoded:
    sources: dict[Path, str] = {}
    held = ExitStack()

    def read(path: Path) -> bytes:
        data = contents(path)
        held.enter_context(alone(data))
        sources[path] = hashlib.sha256(data).hexdigest()
        return data

    with held:
        try:
            return decode(item, read, frame), sources
        except Rejected as fault:
            return fault, sources
