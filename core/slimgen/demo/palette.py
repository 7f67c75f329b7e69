"""Colours of pictures that were drawn with a few, such as label maps saved as pictures."""

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

MOST = 48
"""Most colours of a palette."""
NEAR, APART = 12, 40
"""Distances in RGB, of 8 bits, summed over channels: within which compression moves a colour, and between two colours
of a palette."""
FIRST, SHARE = 12, 0.5
"""A picture counts as drawn if so many colours make up this share of it; photographs were seen to have a fifth."""
RARE = 3e-3
"""Least share of a colour in compressed or scaled pictures, where rarer ones are mixtures."""
Colour = tuple[int, int, int]


def palette(pictures: Sequence[NDArray[Any]]) -> list[Colour]:
    """Return the colours that pictures are drawn with, the most frequent first; empty for photographs.

    Args:
        pictures: uint8 (height, width, 3) each.
    """
    if not pictures:
        return []
    colours, shares = _counted([picture.reshape(-1, 3) for picture in pictures])
    if len(colours) <= MOST:
        return [_colour(colour) for colour in colours] if len(colours) > 1 else []
    if sum(share for _, share in _apart(colours, shares, NEAR, FIRST)) < SHARE:
        return []
    areas = [picture[1:, 1:][_even(picture)] for picture in pictures]
    return [colour for colour, share in _apart(*_counted(areas), APART, MOST) if share >= RARE]


def _counted(pixels: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[numpy.float64]]:
    """Return the colours of pixels (N, 3), the most frequent first, and the share of each."""
    colours, counts = numpy.unique(numpy.concatenate(pixels), axis=0, return_counts=True)
    order = numpy.argsort(-counts, kind="stable")
    return colours[order].astype(int), counts[order] / max(1, counts.sum())


def _even(picture: NDArray[Any]) -> NDArray[numpy.bool_]:
    """Return where pixels are like those above and to the left, (H - 1, W - 1): borders are mixtures of two colours."""
    levels = picture.astype(int)
    across = numpy.abs(levels[1:, 1:] - levels[1:, :-1]).sum(-1)
    down = numpy.abs(levels[1:, 1:] - levels[:-1, 1:]).sum(-1)
    even: NDArray[numpy.bool_] = (across <= NEAR) & (down <= NEAR)
    return even


def _apart(colours: NDArray[Any], shares: NDArray[numpy.float64], near: int, most: int) -> list[tuple[Colour, float]]:
    """Return at most so many colours, each further than `near` from those before it, and the share of what is near."""
    left = numpy.ones(len(colours), bool)
    found: list[tuple[Colour, float]] = []
    while left.any() and len(found) < most:
        centre = colours[int(left.argmax())]
        around = left & (numpy.abs(colours - centre).sum(1) <= near)
        found.append((_colour(centre), float(shares[around].sum())))
        left &= ~around
    return found


def _colour(values: NDArray[Any]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
