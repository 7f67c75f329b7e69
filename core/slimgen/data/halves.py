"""Whether pictures that are taken for two images side by side look like it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimgen.data.images import Rejected, contents, decode, quiet
from slimgen.data.layouts import SIDE_BY_SIDE, Files, ItemT

LOOKED = 16
"""Pictures that are looked at."""
NARROW, NEAR, ROWS = 1.4, 8, 64
"""How many times as high as wide halves seldom are; columns beside the seam to compare it with; rows looked at."""


def questioned(found: Files[ItemT], paths: Sequence[Path]) -> Files[ItemT]:
    """The same, with a doubt where pairs lie side by side and most of the pictures to train on do not look like it."""
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
    hint = "if these are no pairs, put the two images of each into folders A and B of the same names, or into one file"
    return replace(found, doubts=(f"are these pairs side by side? {'; '.join(doubts)}; {hint}",))


def _narrow(shapes: Sequence[tuple[int, int]]) -> str | None:
    """Says that halves would be unusually narrow, as those of square pictures or photographs are."""
    narrow = [shape for shape in shapes if shape[0] >= NARROW * (shape[1] / 2)]
    if 2 * len(narrow) <= len(shapes):
        return None
    height, width = narrow[0]
    whole = "square" if height == width else f"{width} x {height}"
    return f"halves would be {width // 2} x {height}, the pictures being {whole}"


def _seamless(on: Sequence[bool]) -> str | None:
    """Says that pictures go on across their middle, as one image does and two do not."""
    whole = sum(on)
    if 2 * whole <= len(on):
        return None
    return f"{whole} of {len(on)} that were looked at go on across the middle as one picture does"


def goes_on(image: NDArray[np.uint8]) -> bool:
    """Whether the two columns in the middle of an image (H, W, channels) differ no more than others beside each other.

    Where there is nothing to see, or nothing but noise, that says nothing.
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
    """Height and width of a picture, and whether it goes on; None where it cannot be used."""
    try:
        image = decode(path, contents(path))
    except Rejected:
        return None
    return (image.shape[0], image.shape[1]), goes_on(image)
