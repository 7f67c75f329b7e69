"""Decoding a data set in its order: how its pairs or images are read, and what comes of each."""

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
"""A file's content, whose digest is taken note of."""
ItemT = TypeVar("ItemT")
Decode = Callable[[ItemT, Read, Frame], "Mapping[str, Row]"]
"""A pair or image, how to read files, and what is made of its pictures, to a row for each side it has."""


@dataclass(frozen=True)
class Setting:
    """How a data set is prepared.

    Attributes:
        size: of the images in val and test, and of the crop in training; a number is a square's side.
        load: of those in train, at least `size` and of its aspect; likewise.
        direction: `AtoB` or `BtoA`: which side is the input.
        validation: how much of train to hold out, a number from 1 or a fraction: of pairs, or of each set of images.
        test: likewise, before that, where a data set has nothing to test on; None asks for a test split.
        seed: chooses the images held out.
        fit: what becomes of pictures of another aspect; None rejects them, where it is not the task's custom to crop.
        range: the values that become black and white, in pictures of more than 8 bits.

    Raises:
        DataError: if sizes do not fit.
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
            raise DataError(
                "size is positive, and load at least size and of its aspect", f"size {self.size}, load {self.load}"
            )

    def frame(self, split: str) -> Frame:
        """What the pictures of a split are made to be."""
        return Frame(self.load if split == "train" else self.size, self.size, self.fit)


@dataclass(frozen=True)
class Row:
    """One image as it is written, uint8 (height, width, channels).

    Attributes:
        shape: height and width before resizing.
        mark: of its pixels before resizing, equal for equal images; empty where nobody asks.
    """

    name: str
    image: NDArray[np.uint8]
    shape: tuple[int, int]
    mark: bytes = b""


Decoded = tuple[Mapping[str, Row] | Rejected, Mapping[Path, str]]
"""What became of a pair or an image: its rows by side, or why it was kept out; and the SHA-256 of the files read."""


@dataclass(frozen=True)
class Found(Generic[ItemT]):
    """A data set that was found: its files, what its pictures become, and how a pair or an image is decoded."""

    files: Files[ItemT]
    forms: Forms
    decode: Decode[ItemT]

    def usable(self, setting: Setting) -> Callable[[Iterable[ItemT]], Iterator[bool]]:
        """Tells of pairs or images in turn whether they would be kept, to validate or test on."""

        def judged(items: Iterable[ItemT]) -> Iterator[bool]:
            for rows, _ in in_order(items, self.decode, setting.frame("val")):
                yield not isinstance(rows, Rejected)

        return judged

    def examined(self, folder: Path, setting: Setting, see: Callable[[Size], None]) -> Tally:
        """What would be kept of all that was found; nothing is written. `see` is told the shapes of pictures."""
        tally = Tally(folder, sum(map(len, self.files.splits.values())))
        for name, items in self.files.splits.items():
            for rows, sources in in_order(items, self.decode, setting.frame("val")):
                count(tally, name, rows, sources)
                for which, row in rows.items() if not isinstance(rows, Rejected) else ():
                    if which in self.forms.sides:
                        see(Size(*row.shape))
        return tally


def count(tally: Tally, split: str, rows: Mapping[str, Row] | Rejected, sources: Mapping[Path, str]) -> None:
    """Takes note of what became of a pair or an image."""
    if isinstance(rows, Rejected):
        tally.refuse(rows)
    else:
        tally.keep(split, tuple((which, row.mark) for which, row in rows.items()))
    tally.read(sources)


def in_order(items: Iterable[ItemT], decode: Decode[ItemT], frame: Frame) -> Iterator[Decoded]:
    """Decode with all cores, a few images ahead, and hand out in the order asked for."""
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
