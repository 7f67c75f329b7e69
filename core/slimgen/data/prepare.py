"""Decode a data set once, into arrays that training maps into memory."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimgen.data.arrays import ImageRows, Moments
from slimgen.data.images import Rejected, contents, decode, quiet
from slimgen.data.layouts import PairFiles, Pairs, Side, find_pairs
from slimgen.data.prepared import SIDES, VERSION, Manifest, SplitRecord, digest_of
from slimgen.errors import DataError

Progress = Callable[[int, int], None]


def prepare_pairs(
    folder: Path,
    out: Path,
    *,
    size: int,
    load: int,
    direction: str,
    validation: int | float,
    seed: int,
    progress: Progress | None = None,
) -> Manifest:
    """Write the pairs of a data set as arrays: `train`, `val` and `test`, each `.input.npy` and `.target.npy`.

    Images are resized to a square, train to `load` and the others to `size` pixels a side, bicubic and antialiased.
    Label maps are treated like any image: those of the usual paired sets are JPEGs, whose colours are not exact.

    The validation pairs are held out of train, chosen by the hash of (seed, name): adding images hardly changes which.
    A data set with both `val` and `test` keeps its own `val`; one with `val` alone is tested on it.

    `manifest.json` is written last, so a folder whose preparation was killed is not taken for a whole one; the
    same call then starts again and ends with the same bytes. Memory stays at a few images.

    Args:
        folder: the data set, in one of the known layouts.
        out: where to write; other files in it are left alone.
        size: pixels of a side in val and test, and of the crop in training. Smaller images are rejected.
        load: pixels of a side in train, at least `size`.
        direction: `AtoB` or `BtoA`.
        validation: how many pairs of train to hold out, or which fraction.
        seed: chooses them.
        progress: called with (pairs done, all pairs).

    Returns:
        The manifest, as `Prepared.open(out)` would read it.

    Raises:
        DataError: if sizes do not fit, the layout is not known, a split ends empty or most images are rejected.
    """
    if size < 1 or load < size:
        raise DataError("size is positive and load at least size", f"size {size}, load {load}")
    pairs = find_pairs(folder, direction)
    splits = _divide(pairs, validation, seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    total = sum(len(files) for files in splits.values())
    tally = _Tally(folder, total, progress)
    records, moments = {}, {}
    try:
        for name, files in splits.items():
            side = load if name == "train" else size
            records[name], moments[name] = _write_split(out, name, files, side, size, tally)
        _check(records, tally)
        for name, which in product(records, SIDES):
            os.replace(_aside(out, name, which), out / f"{name}.{which}.npy")
    finally:
        for name, which in product(splits, SIDES):
            _aside(out, name, which).unlink(missing_ok=True)
    mean, std = zip(*(moments["train"][which].tensor_units() for which in SIDES), strict=True)
    manifest = Manifest(
        version=VERSION,
        layout=pairs.layout,
        direction=direction,
        size=size,
        load=load,
        seed=seed,
        validation=validation,
        splits=records,
        sources=dict(sorted(tally.sources.items())),
        rejected=tally.rejected,
        lonely=tuple(path.relative_to(folder).as_posix() for path in pairs.lonely),
        mean=dict(zip(SIDES, mean, strict=True)),
        std=dict(zip(SIDES, std, strict=True)),
        digest="",
    )
    manifest = manifest.model_copy(update={"digest": digest_of(manifest)})
    partial = out / "manifest.json.partial"
    partial.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(partial, out / "manifest.json")
    return manifest


def _divide(pairs: Pairs, validation: int | float, seed: int) -> dict[str, tuple[PairFiles, ...]]:
    """Train, val and test of what was found."""
    found = pairs.splits
    if "val" in found and "test" in found:
        return {"train": found["train"], "val": found["val"], "test": found["test"]}
    count = len(found["train"])
    fraction = isinstance(validation, float)
    sensible = 0 < validation < 1 if fraction else validation >= 1
    asked = 0 if not sensible else max(1, round(validation * count)) if fraction else int(validation)
    if not 1 <= asked < count:
        raise DataError(
            f"validation holds out a part of the {count} pairs to train on, as a number from 1 or a fraction below 1",
            validation,
        )
    order = sorted(found["train"], key=lambda pair: hashlib.sha256(f"{seed}/{pair.name}".encode()).digest())
    held = {pair.name for pair in order[:asked]}
    return {
        "train": tuple(pair for pair in found["train"] if pair.name not in held),
        "val": tuple(pair for pair in found["train"] if pair.name in held),
        "test": found["test"] if "test" in found else found["val"],
    }


@dataclass
class _Tally:
    """What happened to the images so far."""

    folder: Path
    total: int
    progress: Progress | None
    done: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def step(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)

    def refuse(self, fault: Rejected) -> None:
        self.rejected[fault.path.relative_to(self.folder).as_posix()] = fault.reason
        if fault.hint and fault.hint not in self.hints:
            self.hints.append(fault.hint)

    def complaint(self) -> str:
        first = "; ".join(f"{name} {reason}" for name, reason in list(self.rejected.items())[:3])
        return f"{len(self.rejected)} of {self.total} rejected: {first}"


def _check(records: dict[str, SplitRecord], tally: _Tally) -> None:
    hint = "; ".join(tally.hints) or None
    for name, record in records.items():
        if record.count == 0:
            raise DataError(f"the split {name!r} keeps at least one pair", tally.complaint(), hint)
    if 2 * len(tally.rejected) > tally.total:
        raise DataError("at least half of the images can be used", tally.complaint(), hint)


@dataclass(frozen=True)
class _Decoded:
    """A pair at its final size, or the fault that kept it out; and the hashes of its files."""

    images: tuple[NDArray[np.uint8], NDArray[np.uint8]] | Rejected
    sources: dict[Path, str]


def _write_split(
    out: Path, name: str, files: tuple[PairFiles, ...], side: int, size: int, tally: _Tally
) -> tuple[SplitRecord, dict[str, Moments]]:
    moments = {which: Moments() for which in SIDES}
    names = []
    with ImageRows(_aside(out, name, "input"), side) as inputs, ImageRows(_aside(out, name, "target"), side) as targets:
        for pair, decoded in zip(files, _in_order(files, side, size), strict=True):
            for path, digest in decoded.sources.items():
                tally.sources[path.relative_to(tally.folder).as_posix()] = digest
            if isinstance(decoded.images, Rejected):
                tally.refuse(decoded.images)
            else:
                for rows, which, image in zip((inputs, targets), SIDES, decoded.images, strict=True):
                    rows.append(image)
                    moments[which].add(image)
                names.append(pair.name)
            tally.step()
    hashes = {}
    for which in SIDES:
        with _aside(out, name, which).open("rb") as file:
            hashes[which] = hashlib.file_digest(file, "sha256").hexdigest()
    return SplitRecord(count=len(names), side=side, names=tuple(names), sha256=hashes), moments


def _in_order(files: Iterable[PairFiles], side: int, size: int) -> Iterator[_Decoded]:
    """Decode with all cores, a few images ahead, and hand out in the order asked for."""
    cores = min(os.cpu_count() or 1, 8)
    ahead: deque[Future[_Decoded]] = deque()
    with quiet(), ThreadPoolExecutor(cores) as pool:
        try:
            for pair in files:
                ahead.append(pool.submit(_pair, pair, side, size))
                if len(ahead) > 2 * cores:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pair(pair: PairFiles, side: int, size: int) -> _Decoded:
    sources: dict[Path, str] = {}
    whole: dict[Path, NDArray[np.uint8]] = {}
    try:
        for path in dict.fromkeys((pair.input.path, pair.target.path)):
            data = contents(path)
            sources[path] = hashlib.sha256(data).hexdigest()
            whole[path] = decode(path, data)
        parts = [_half(which, whole[which.path]) for which in (pair.input, pair.target)]
        (h0, w0), (h1, w1) = (part.shape[:2] for part in parts)
        if abs(h0 * w1 - h1 * w0) > 0.02 * h0 * w1:
            raise Rejected(pair.target.path, f"is {w1} x {h1} where its partner is {w0} x {h0}: another shape")
        for which, part in zip((pair.input, pair.target), parts, strict=True):
            height, width = part.shape[:2]
            if min(height, width) < size:
                reason = f"is {width} x {height}, smaller than the crop of {size}"
                raise Rejected(which.path, reason, f"set a size of at most {min(height, width)} to use it")
    except Rejected as fault:
        return _Decoded(fault, sources)
    resized = [_resize(part, side) for part in parts]
    return _Decoded((resized[0], resized[1]), sources)


def _half(which: Side, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if which.half == "whole":
        return image
    width = image.shape[1]
    if width % 2:
        raise Rejected(which.path, f"is {width} pixels wide, which two images side by side cannot be")
    return image[:, : width // 2] if which.half == "left" else image[:, width // 2 :]


def _resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (side, side):
        return image
    resized = Image.fromarray(np.ascontiguousarray(image)).resize((side, side), Image.Resampling.BICUBIC)
    return np.array(resized, dtype=np.uint8)


def _aside(out: Path, split: str, side: str) -> Path:
    return out / f"{split}.{side}.npy.partial"
