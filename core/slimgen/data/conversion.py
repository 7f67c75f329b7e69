"""Converting a data set, whatever it holds: decode in order, write beside, publish with the manifest."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from slimgen.data.forms import Forms, Range
from slimgen.data.images import Rejected, contents, quiet
from slimgen.data.layouts import Files
from slimgen.data.prepared import RGB, SIDES, VERSION, Manifest, SplitRecord, digest_of
from slimgen.data.shapes import Frame, Moments, image_rows
from slimgen.data.tally import Tally
from slimgen.errors import DataError
from slimgen.files import MANIFEST, array_file, publish, sha256_file, write_text
from slimgen.size import Fit, Size, alike

Progress = Callable[[int, int], None]
"""Called with how many pairs or images are done, and how many there are."""
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


@dataclass
class Written:
    """The arrays of a split, as far as they are written; everything by side."""

    size: Size
    channels: Mapping[str, int]
    pictures: Sequence[str] = SIDES
    names: dict[str, list[str]] = field(default_factory=lambda: {which: [] for which in SIDES})
    shapes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {which: [] for which in SIDES})
    moments: dict[str, Moments] = field(init=False)
    sha256: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.moments = {which: Moments(self.channels[which]) for which in self.pictures}

    def add(self, which: str, row: Row) -> None:
        """Takes note of one more row."""
        self.names[which].append(row.name)
        self.shapes[which].append(row.shape)
        if which in self.moments:
            self.moments[which].add(row.image)

    def record(self, target_names: tuple[str, ...] | None = None, paired: bool | None = None) -> SplitRecord:
        """The split in the manifest; of two sets, with the names of their targets, and whether they are partners."""
        return SplitRecord(
            count=len(self.names["input"]),
            side=self.size,
            names=tuple(self.names["input"]),
            sha256=self.sha256,
            channels=None if self.channels["input"] == RGB else self.channels["input"],
            target_channels=None if self.channels["target"] == RGB else self.channels["target"],
            target_names=target_names,
            paired=paired,
        )


def convert(
    folder: Path,
    out: Path | None,
    splits: Mapping[str, Sequence[ItemT]],
    decode: Decode[ItemT],
    setting: Setting,
    progress: Progress | None,
    *,
    found: Files[Any],
    unit: str,
    forms: Forms | None = None,
    channels: int | None = None,
    describe: Callable[[Mapping[str, Written]], dict[str, SplitRecord]] | None = None,
) -> Manifest:
    """Decode, resize and write `train`, `val` and `test`, each `.input.npy` and `.target.npy`; and the manifest.

    `manifest.json` is written last, so a folder whose preparation was killed is not taken for a whole one; the
    same call then starts again and ends with the same bytes. Memory stays at a few images, and other files in `out` are
    left alone. Where there is no `out`, all is done but the writing.

    The manifest keeps the layout that was `found` and the images without a partner. Pictures are RGB unless their
    `forms` say otherwise, and have a mean and a deviation there; inputs whose `channels` are given are no pictures.
    Where rows of both sides are not of one name, `describe` makes the records of the splits, each of which keeps at
    least one `unit`, as an error calls it.

    Raises:
        DataError: if the layout is not known, a split ends empty or most images are rejected; `out` then holds no
            manifest.
    """
    forms = forms or Forms()
    pictures = SIDES if channels is None else ("target",)
    wide = {which: forms.sides[which].channels if which in pictures else channels or 0 for which in SIDES}
    places = {} if out is None else {one: out / array_file(*one) for one in product(splits, SIDES)}
    tally = Tally(folder, sum(map(len, splits.values())), progress)
    written: dict[str, Written] = {}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).unlink(missing_ok=True)
    try:
        for name, items in splits.items():
            frame = setting.frame(name)
            written[name] = Written(frame.size, wide, pictures)
            into = {which: _partial(places[name, which]) for which in SIDES if places}
            _write(into, name, _in_order(items, decode, frame), written[name], tally)
        tally.check({name: split.names.values() for name, split in written.items()}, unit)
        for place in places.values():
            publish(_partial(place), place)
    finally:
        for place in places.values():
            _partial(place).unlink(missing_ok=True)
    trained = written["train"].moments if "train" in written else {}
    units = {which: seen.tensor_units() for which, seen in trained.items() if seen.count}
    manifest = Manifest(
        version=VERSION,
        layout=found.layout,
        direction=setting.direction,
        size=setting.size,
        load=setting.load,
        seed=setting.seed,
        validation=setting.validation,
        test=setting.test,
        fit=setting.fit,
        splits=describe(written) if describe else {name: split.record() for name, split in written.items()},
        sources=dict(sorted(tally.sources.items())),
        rejected=tally.rejected,
        unmatched=tuple(path.relative_to(folder).as_posix() for path in found.unmatched),
        mean={which: mean for which, (mean, _) in units.items()},
        std={which: std for which, (_, std) in units.items()},
        ranges=forms.ranges,
        notes=(*found.notes, *forms.notes, *tally.notes(unit)),
        digest="",
    )
    manifest = manifest.model_copy(update={"digest": digest_of(manifest)})
    if out is not None:
        write_text(out / MANIFEST, manifest.model_dump_json(indent=1, exclude_none=True) + "\n")
    return manifest


@dataclass(frozen=True)
class Found(Generic[ItemT]):
    """A data set that was found: its files, what its pictures become, and how a pair or an image is decoded."""

    files: Files[ItemT]
    forms: Forms
    decode: Decode[ItemT]

    def usable(self, setting: Setting) -> Callable[[Iterable[ItemT]], Iterator[bool]]:
        """Tells of pairs or images in turn whether they would be kept, to validate or test on."""

        def judged(items: Iterable[ItemT]) -> Iterator[bool]:
            for rows, _ in _in_order(items, self.decode, setting.frame("val")):
                yield not isinstance(rows, Rejected)

        return judged

    def examined(self, folder: Path, setting: Setting, see: Callable[[Size], None]) -> Tally:
        """What would be kept of all that was found; nothing is written. `see` is told the shapes of pictures."""
        tally = Tally(folder, sum(map(len, self.files.splits.values())))
        for name, items in self.files.splits.items():
            for rows, sources in _in_order(items, self.decode, setting.frame("val")):
                _count(tally, name, rows, sources)
                for which, row in rows.items() if not isinstance(rows, Rejected) else ():
                    if which in self.forms.sides:
                        see(Size(*row.shape))
        return tally


def _write(into: Mapping[str, Path], name: str, decoded: Iterable[Decoded], written: Written, tally: Tally) -> None:
    """A split, into a file for each side, if there are any."""
    with ExitStack() as stack:
        arrays = {
            which: stack.enter_context(image_rows(path, written.size, written.channels[which]))
            for which, path in into.items()
        }
        for rows, sources in decoded:
            for which, row in rows.items() if not isinstance(rows, Rejected) else ():
                if arrays:
                    arrays[which](row.image)
                written.add(which, row)
            _count(tally, name, rows, sources)
    written.sha256 |= {which: sha256_file(path) for which, path in into.items()}


def _count(tally: Tally, split: str, rows: Mapping[str, Row] | Rejected, sources: Mapping[Path, str]) -> None:
    """Takes note of what became of a pair or an image."""
    if isinstance(rows, Rejected):
        tally.refuse(rows)
    else:
        tally.keep(split, tuple((which, row.mark) for which, row in rows.items()))
    tally.read(sources)


def _in_order(items: Iterable[ItemT], decode: Decode[ItemT], frame: Frame) -> Iterator[Decoded]:
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

    def read(path: Path) -> bytes:
        data = contents(path)
        sources[path] = hashlib.sha256(data).hexdigest()
        return data

    try:
        return decode(item, read, frame), sources
    except Rejected as fault:
        return fault, sources


def _partial(place: Path) -> Path:
    return place.with_name(f"{place.name}.partial")
