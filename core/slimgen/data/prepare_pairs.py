"""Decode a data set of pairs once, into arrays that training maps into memory."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimgen.data.conversion import Decoded, Progress, Row, Setting, Written, convert
from slimgen.data.division import divide
from slimgen.data.images import Rejected, contents, decode
from slimgen.data.layouts import PairFiles, find_pairs
from slimgen.data.prepared import SIDES, Manifest, SplitRecord
from slimgen.data.shapes import alike, half, resize


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
    setting = Setting(size, load, direction, validation, seed)
    pairs = find_pairs(folder, direction)
    return convert(
        folder,
        out,
        divide(pairs.splits, setting, "pairs"),
        _pair,
        _records,
        setting=setting,
        layout=pairs.layout,
        lonely=pairs.lonely,
        unit="pair",
        progress=progress,
    )


def _records(written: Mapping[str, Written]) -> dict[str, SplitRecord]:
    return {
        name: SplitRecord(
            count=len(split.names["input"]), side=split.side, names=tuple(split.names["input"]), sha256=split.sha256
        )
        for name, split in written.items()
    }


def _pair(pair: PairFiles, side: int, size: int) -> Decoded:
    sources: dict[Path, str] = {}
    whole: dict[Path, NDArray[np.uint8]] = {}
    try:
        for path in dict.fromkeys((pair.input.path, pair.target.path)):
            data = contents(path)
            sources[path] = hashlib.sha256(data).hexdigest()
            whole[path] = decode(path, data)
        parts = [half(which, whole[which.path]) for which in (pair.input, pair.target)]
        (h0, w0), (h1, w1) = shapes = [(part.shape[0], part.shape[1]) for part in parts]
        if not alike(*shapes):
            raise Rejected(pair.target.path, f"is {w1} x {h1} where its partner is {w0} x {h0}: another shape")
        for which, (height, width) in zip((pair.input, pair.target), shapes, strict=True):
            if min(height, width) < size:
                reason = f"is {width} x {height}, smaller than the crop of {size}"
                raise Rejected(which.path, reason, f"set a size of at most {min(height, width)} to use it")
    except Rejected as fault:
        return Decoded(fault, sources)
    rows = [Row(pair.name, resize(part, side), shape) for part, shape in zip(parts, shapes, strict=True)]
    return Decoded(dict(zip(SIDES, rows, strict=True)), sources)
