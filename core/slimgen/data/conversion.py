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
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from slimgen.data.images import Rejected, contents, quiet
from slimgen.data.layouts import Files
from slimgen.data.prepared import RGB, SIDES, VERSION, Manifest, SplitRecord, digest_of
from slimgen.data.shapes import Frame, Moments, image_rows
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
    """One image as it is written, uint8 (height, width, channels); its name, its height and width before resizing."""

    name: str
    image: NDArray[np.uint8]
    shape: tuple[int, int]


Decoded = tuple[Mapping[str, Row] | Rejected, Mapping[Path, str]]
"""What became of a pair or an image: its rows by side, or why it was kept out; and the SHA-256 of the files read."""


@dataclass
class Written:
    """The arrays of a split, as far as they are written; everything by side."""

    size: Size
    channels: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, RGB))
    names: dict[str, list[str]] = field(default_factory=lambda: {which: [] for which in SIDES})
    shapes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {which: [] for which in SIDES})
    moments: dict[str, Moments] = field(default_factory=lambda: {which: Moments() for which in SIDES})
    sha256: dict[str, str] = field(default_factory=dict)

    def add(self, which: str, row: Row) -> None:
        """Takes note of one more row."""
        self.names[which].append(row.name)
        self.shapes[which].append(row.shape)
        if self.channels[which] == RGB:
            self.moments[which].add(row.image)

    def record(self, target_names: tuple[str, ...] | None = None, paired: bool | None = None) -> SplitRecord:
        """The split in the manifest; of two sets, with the names of their targets, and whether they are partners."""
        return SplitRecord(
            count=len(self.names["input"]),
            side=self.size,
            names=tuple(self.names["input"]),
            sha256=self.sha256,
            channels=None if self.channels["input"] == RGB else self.channels["input"],
            target_names=target_names,
            paired=paired,
        )


def convert(
    folder: Path,
    out: Path,
    splits: Mapping[str, Sequence[ItemT]],
    decode: Decode[ItemT],
    setting: Setting,
    progress: Progress | None,
    *,
    found: Files[Any],
    unit: str,
    channels: int = RGB,
    describe: Callable[[Mapping[str, Written]], dict[str, SplitRecord]] | None = None,
) -> Manifest:
    """Decode, resize and write `train`, `val` and `test`, each `.input.npy` and `.target.npy`; and the manifest.

    `manifest.json` is written last, so a folder whose preparation was killed is not taken for a whole one; the
    same call then starts again and ends with the same bytes. Memory stays at a few images, and other files in `out` are
    left alone.

    The manifest keeps the layout that was `found` and the images without a partner. Only inputs of 3 `channels`,
    pictures, have a mean and a deviation there. Where rows of both sides are not of one name, `describe` makes the
    records of the splits, each of which keeps at least one `unit`, as an error calls it.

    Raises:
        DataError: if the layout is not known, a split ends empty or most images are rejected; `out` then holds no
            manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    tally = _Tally(folder, sum(map(len, splits.values())), progress)
    written: dict[str, Written] = {}
    try:
        for name, items in splits.items():
            frame = setting.frame(name)
            written[name] = Written(frame.size, {"input": channels, "target": RGB})
            _write(out, name, _in_order(items, decode, frame), written[name], tally)
        tally.check(written, unit)
        for name, which in product(written, SIDES):
            publish(_partial(out, name, which), out / array_file(name, which))
    finally:
        for name, which in product(splits, SIDES):
            _partial(out, name, which).unlink(missing_ok=True)
    units = {which: seen.tensor_units() for which, seen in written["train"].moments.items() if seen.count}
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
        digest="",
    )
    manifest = manifest.model_copy(update={"digest": digest_of(manifest)})
    write_text(out / MANIFEST, manifest.model_dump_json(indent=1, exclude_none=True) + "\n")
    return manifest


@dataclass
class _Tally:
    """What happened to the images so far."""

    folder: Path
    total: int
    progress: Progress | None
    done: int = 0
    refused: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def step(self, result: Mapping[str, Row] | Rejected, sources: Mapping[Path, str]) -> None:
        for path, digest in sources.items():
            self.sources[path.relative_to(self.folder).as_posix()] = digest
        if isinstance(result, Rejected):
            self.refused += 1
            self.rejected[result.path.relative_to(self.folder).as_posix()] = result.reason
            if result.hint and result.hint not in self.hints:
                self.hints.append(result.hint)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)

    def check(self, written: Mapping[str, Written], unit: str) -> None:
        first = "; ".join(f"{name} {reason}" for name, reason in list(self.rejected.items())[:3])
        complaint, hint = f"{self.refused} of {self.total} rejected: {first}", "; ".join(self.hints) or None
        for name, split in written.items():
            if not all(split.names.values()):
                raise DataError(f"the split {name!r} keeps at least one {unit}", complaint, hint)
        if 2 * self.refused > self.total:
            raise DataError("at least half of the images can be used", complaint, hint)


def _write(out: Path, name: str, decoded: Iterable[Decoded], written: Written, tally: _Tally) -> None:
    with ExitStack() as stack:
        arrays = {
            which: stack.enter_context(image_rows(_partial(out, name, which), written.size, wide))
            for which, wide in written.channels.items()
        }
        for rows, sources in decoded:
            for which, row in rows.items() if not isinstance(rows, Rejected) else ():
                arrays[which](row.image)
                written.add(which, row)
            tally.step(rows, sources)
    for which in SIDES:
        written.sha256[which] = sha256_file(_partial(out, name, which))


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


def _partial(out: Path, split: str, side: str) -> Path:
    return out / f"{array_file(split, side)}.partial"
