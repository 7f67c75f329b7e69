"""Check whether pictures that are read as two images side by side look like it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimgen.data.images import Rejected, contents, decode, quiet
from slimgen.data.layouts import SIDE_BY_SIDE, Files, ItemT

LOOKED = 16
"""Number of pictures that are checked."""
NARROW, NEAR, ROWS = 1.4, 8, 64
"""Unusual ratio of height to width of a half; columns on each side of the seam to compare with; rows checked."""


def questioned(found: Files[ItemT], paths: Sequence[Path]) -> Files[ItemT]:
    """Return the files, with a doubt where most training pictures do not look like two images side by side."""
    if found.layout != SIDE_BY_SIDE:
        return found
    files = list(dict.fromkeys(paths))
    some = files[:: max(1, len(files) // LOOKED)][:LOOKED]
    with quiet():
        seen = [one for path in some if (one := _seen(path)) is not None]
    doubts = tuple(
        doubt for doubt in (_narrow([shape for shape, _ in seen]), _seamless([on for _, on in seen])) if doubt
    )
    if not doubts:
        return found
    hint = (
        "if they are not, put the two images of each pair side by side in one file, or in folders A and B by one name"
    )
    return replace(found, doubts=(f"are these pairs side by side? {'; '.join(doubts)}; {hint}",))


def _narrow(shapes: Sequence[tuple[int, int]]) -> str | None:
    """Return a doubt if the halves would be unusually narrow, as halves of square pictures are."""
    narrow = [shape for shape in shapes if shape[0] >= NARROW * (shape[1] / 2)]
    if 2 * len(narrow) <= len(shapes):
        return None
    height, width = narrow[0]
    whole = "square" if height == width else f"{height} high and {width} wide"
    return f"the pictures are {whole}, so their halves would be only {height} high and {width // 2} wide"


def _seamless(on: Sequence[bool]) -> str | None:
    """Return a doubt if most pictures have no seam in their middle."""
    whole = sum(on)
    if 2 * whole <= len(on):
        return None
    return f"{whole} of {len(on)} pictures that were checked have no seam in the middle"


def goes_on(image: NDArray[np.uint8]) -> bool:
    """Return whether an image (H, W, channels) has no seam in its middle.

    That is so if the two middle columns differ no more than neighbouring columns do. Flat or noisy images, where this
    says nothing, give False.
    """
    columns = image[:: max(1, len(image) // ROWS)].mean(axis=2).T
    middle, quarter = len(columns) // 2, len(columns) // 4
    if quarter <= NEAR:
        return False
    steps = np.abs(np.diff(columns, axis=0)).mean(axis=1)
    seam = steps[middle - 1]
    beside = float(np.median(np.concatenate([steps[middle - 1 - NEAR : middle - 1], steps[middle : middle + NEAR]])))
    far = float(np.abs(columns[quarter:] - columns[:-quarter]).mean())
    return bool(0.5 < beside < far / 2 and seam < 1.6 * beside)


def _seen(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Return height and width of a picture and whether it has no seam; None if it cannot be used."""
    try:
        image = decode(path, contents(path))
    except Rejected:
        return None
    return (image.shape[0], image.shape[1]), goes_on(image)
