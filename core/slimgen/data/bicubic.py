"""Bicubic resizing as in MATLAB's `imresize`, by which the published sets of super-resolution were made.

The kernel is Keys' cubic with a = -0.5 (Keys 1981, Eq. 15). Where pictures become smaller it is stretched by the scale,
which suppresses aliasing. Edges are mirrored, with the outermost pixel repeated, and a side of n pixels becomes one of
ceil(scale x n). Most other libraries differ in one of these points, so a generator that was trained on one kind of
small pictures looks worse on another.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimgen.errors import DataError

SUPPORT = 4
"""Width of the kernel, in pixels of the larger picture's grid."""
Floats = NDArray[np.float64]


class Taps(NamedTuple):
    """The pixels of the input that each pixel of the output is made of, along one axis.

    Attributes:
        places: their positions, int64 (length of the output, taps).
        weights: their weights, float64 of the same shape; each row sums to 1.
    """

    places: NDArray[np.int64]
    weights: Floats


def cubic(distance: Floats) -> Floats:
    """Return Keys' cubic kernel with a = -0.5 at these distances from its centre, 0 from a distance of 2 (Eq. 15)."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=64)
def taps(length: int, scale: Fraction) -> Taps:
    """Return the pixels and weights that resize `length` pixels by a scale, below 1 with the stretched kernel."""
    shrink = min(1.0, float(scale))
    wide = SUPPORT / shrink
    made = math.ceil(scale * length)
    # Pixel i of the output lies at this position of the input, counted between centres from 0.
    centres = (np.arange(made) + 0.5) / float(scale) - 0.5
    first = np.floor(centres - wide / 2).astype(np.int64)
    places = first[:, None] + np.arange(math.ceil(wide) + 2)
    weights = cubic(shrink * (centres[:, None] - places))
    weights /= weights.sum(axis=1, keepdims=True)
    used = (weights != 0).any(axis=0)
    folded = places[:, used] % (2 * length)  # a picture and its mirror image, in turn
    return Taps(np.where(folded < length, folded, 2 * length - 1 - folded), weights[:, used])


def imresize(image: NDArray[np.uint8], scale: Fraction | int) -> NDArray[np.uint8]:
    """Resize a picture by a scale: first its height, then its width, each result rounded half up to 8 bits.

    Args:
        image: uint8 (height, width, channels).
        scale: factor of both sides, above 0, such as `Fraction(1, 4)` or 4.

    Returns:
        uint8 (ceil(scale x height), ceil(scale x width), channels).

    Raises:
        DataError: the scale is not above 0.
    """
    if scale <= 0:
        raise DataError("pictures must be resized by a scale above 0", scale)
    for axis in (0, 1):
        found = taps(image.shape[axis], Fraction(scale))
        rows = np.moveaxis(image, axis, 0)
        total = np.zeros((len(found.places), *rows.shape[1:]))
        for place, weight in zip(found.places.T, found.weights.T, strict=True):  # one tap at a time saves memory
            total += weight[:, None, None] * rows[place]
        # MATLAB keeps the type of an 8-bit picture between the two sides, so it rounds twice.
        image = np.moveaxis(np.floor(total + 0.5).clip(0, 255).astype(np.uint8), 0, axis)
    return np.ascontiguousarray(image)
