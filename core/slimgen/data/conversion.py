"""What preparing pairs and preparing sets have in common: decode in order, write aside, publish with the manifest."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from slimgen.data.arrays import ImageRows, Moments
from slimgen.data.images import Rejected, quiet
from slimgen.data.prepared import RGB, SIDES, VERSION, Manifest, SplitRecord, digest_of
from slimgen.errors import DataError
from slimgen.files import MANIFEST, array_file, publish, sha256_file, write_text

Progress = Callable[[int, int], None]
ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Setting:
    """How a data set is prepared: the options of `prepare_pairs`, which describes them.

    Raises:
        DataError: if sizes do not fit.
    """

    size: int
    load: int
    direction: str
    validation: int | float
    seed: int

    def __post_init__(self) -> None:
        if self.size < 1 or self.load < self.size:
            raise DataError("size is positive and load at least size", f"size {self.size}, load {self.load}")


@dataclass(frozen=True)
class Row:
    """One image as it is written, uint8 (side, side, channels); its name, its height and width before resizing."""

    name: str
    image: NDArray[np.uint8]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Decoded:
    """What became of a pair or an image: a row for each side that it has, or the fault that kept it out.

    `sources` are the SHA-256 hashes of the files that were read.
    """

    rows: Mapping[str, Row] | Rejected
    sources: Mapping[Path, str]


@dataclass
class Written:
    """The arrays of a split, as far as they are written; everything by side."""

    side: int
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


def convert(
    folder: Path,
    out: Path,
    splits: Mapping[str, Sequence[ItemT]],
    decode: Callable[[ItemT, int, int], Decoded],
    describe: Callable[[Mapping[str, Written]], dict[str, SplitRecord]],
    *,
    setting: Setting,
    layout: str,
    lonely: Sequence[Path] = (),
    unit: str,
    progress: Progress | None,
    channels: int = RGB,
) -> Manifest:
    """Decode, resize and write every split, and the manifest last.

    Args:
        folder: the data set.
        out: where to write.
        splits: what each holds: pairs or single images.
        decode: one of these, pixels of a side of its split, and pixels of the crop, to rows.
        describe: what was written to the records of the manifest.
        setting: sizes, and what chose the validation split.
        layout: that was found.
        lonely: images without a partner.
        unit: what a split must keep one of, as an error calls it.
        progress: called with (done, all).
        channels: of the inputs. Only pictures, which have 3, have a mean and a deviation in the manifest.

    Raises:
        DataError: if a split ends empty or most images are rejected; `out` then holds no manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    tally = _Tally(folder, sum(map(len, splits.values())), progress)
    written: dict[str, Written] = {}
    try:
        for name, items in splits.items():
            side = setting.load if name == "train" else setting.size
            written[name] = Written(side, {"input": channels, "target": RGB})
            _write(out, name, _in_order(items, decode, written[name].side, setting.size), written[name], tally)
        tally.check(written, unit)
        for name, which in product(written, SIDES):
            publish(_aside(out, name, which), out / array_file(name, which))
    finally:
        for name, which in product(splits, SIDES):
            _aside(out, name, which).unlink(missing_ok=True)
    units = {which: seen.tensor_units() for which, seen in written["train"].moments.items() if seen.count}
    manifest = Manifest(
        version=VERSION,
        layout=layout,
        direction=setting.direction,
        size=setting.size,
        load=setting.load,
        seed=setting.seed,
        validation=setting.validation,
        splits=describe(written),
        sources=dict(sorted(tally.sources.items())),
        rejected=tally.rejected,
        lonely=tuple(path.relative_to(folder).as_posix() for path in lonely),
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

    def step(self, decoded: Decoded) -> None:
        for path, digest in decoded.sources.items():
            self.sources[path.relative_to(self.folder).as_posix()] = digest
        if isinstance(decoded.rows, Rejected):
            fault = decoded.rows
            self.refused += 1
            self.rejected[fault.path.relative_to(self.folder).as_posix()] = fault.reason
            if fault.hint and fault.hint not in self.hints:
                self.hints.append(fault.hint)
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
            which: stack.enter_context(ImageRows(_aside(out, name, which), written.side, wide))
            for which, wide in written.channels.items()
        }
        for one in decoded:
            if not isinstance(one.rows, Rejected):
                for which, row in one.rows.items():
                    arrays[which].append(row.image)
                    written.add(which, row)
            tally.step(one)
    for which in SIDES:
        written.sha256[which] = sha256_file(_aside(out, name, which))


def _in_order(
    items: Iterable[ItemT], decode: Callable[[ItemT, int, int], Decoded], side: int, size: int
) -> Iterator[Decoded]:
    """Decode with all cores, a few images ahead, and hand out in the order asked for."""
    cores = min(os.cpu_count() or 1, 8)
    ahead: deque[Future[Decoded]] = deque()
    with quiet(), ThreadPoolExecutor(cores) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(decode, item, side, size))
                if len(ahead) > 2 * cores:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _aside(out: Path, split: str, side: str) -> Path:
    return out / f"{array_file(split, side)}.partial"
