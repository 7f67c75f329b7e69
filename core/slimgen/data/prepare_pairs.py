"""Preparing pairs: which files they are, and what becomes of one pair."""

from pathlib import Path

from slimgen.data.conversion import Progress, Read, Row, Setting, convert
from slimgen.data.division import divide
from slimgen.data.images import Rejected, decode
from slimgen.data.layouts import PairFiles, find_pairs
from slimgen.data.prepared import SIDES, Manifest
from slimgen.data.shapes import alike, half, require_pixels, resize


def prepare_pairs(folder: Path, out: Path, setting: Setting, progress: Progress | None = None) -> Manifest:
    """Write the pairs of a data set as arrays; see `convert`, whose arguments, result and errors are the same.

    Images are resized to a square, train to `load` and the others to `size` pixels a side, bicubic and antialiased;
    those smaller than `size` are rejected. Label maps are treated like any image: those of the usual paired sets are
    JPEGs, whose colours are not exact.
    """
    pairs = find_pairs(folder, setting.direction)
    splits = divide(pairs.splits, setting, "pairs")
    return convert(
        folder, out, splits, _pair, setting, progress, layout=pairs.layout, unmatched=pairs.unmatched, unit="pair"
    )


def _pair(pair: PairFiles, read: Read, side: int, size: int) -> dict[str, Row]:
    whole = {path: decode(path, read(path)) for path in dict.fromkeys((pair.input.path, pair.target.path))}
    parts = [half(which, whole[which.path]) for which in (pair.input, pair.target)]
    (h0, w0), (h1, w1) = shapes = [(part.shape[0], part.shape[1]) for part in parts]
    if not alike(*shapes):
        raise Rejected(pair.target.path, f"is {w1} x {h1} where its partner is {w0} x {h0}: another shape")
    for which, shape in zip((pair.input, pair.target), shapes, strict=True):
        require_pixels(which.path, shape, size)
    rows = [Row(pair.name, resize(part, side), shape) for part, shape in zip(parts, shapes, strict=True)]
    return dict(zip(SIDES, rows, strict=True))
