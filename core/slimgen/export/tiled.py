"""Enlargement of pictures of any size window by window, with numpy alone.

A model card contains the source of `enlarge`, so what is tested here is what the card's readers run.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray


def enlarge(
    picture: NDArray[Any],
    run: Callable[[NDArray[Any]], NDArray[Any]],
    *,
    window: Sequence[int] | None,
    overlap: int = 0,
    step: int = 8,
    multiple: int = 1,
    least: Sequence[int] = (1, 1),
) -> NDArray[Any]:
    """Enlarge a picture window by window, so that memory does not grow with it, apart from the two pictures.

    The result is that of the whole picture wherever a pixel depends on no input further away than `overlap`. Windows
    are as large as `window`, or smaller by less than a step at the right and bottom. Sides that `run` does not take
    are continued by their mirror image, and what is made of it is cut off.

    Args:
        picture: numbers (N, C, H, W), of any type and at least one pixel.
        run: function from a part of it to the enlarged part, which may be of another type.
        window: height and width of a window; None for one window as large as the picture.
        overlap: pixels at each inner side of a window whose outputs are not used.
        step: windows begin at multiples of this many pixels, since networks that pool see a grid.
        multiple: pixels of which the sides that `run` takes must be multiples; it divides `step`.
        least: smallest height and width that `run` takes; those of the window if it takes no others.

    Raises:
        ValueError: the window is too small for this overlap.
    """
    starts, sides = [], []
    for length, side, fewest in zip(picture.shape[2:], window or picture.shape[2:], least, strict=True):
        last = max(0, -(-(length - side) // step) * step)
        stride = (side - 2 * overlap) // step * step
        if last and stride < step:
            raise ValueError(f"a window must hold twice the overlap and {step} px; got {side} px for {overlap} px")
        starts.append([*range(0, last, stride), last] if last else [0])
        sides.append(max(-(-length // multiple) * multiple, last + fewest))
    more = [(0, 0), (0, 0), *((0, side - length) for side, length in zip(sides, picture.shape[2:], strict=True))]
    mirrored = numpy.pad(picture, more, "reflect") if sides != list(picture.shape[2:]) else picture
    height, width = window or sides
    made = None
    for top in starts[0]:
        for left in starts[1]:
            given = mirrored[:, :, top : top + height, left : left + width]
            part = run(given)
            scale = part.shape[2] // given.shape[2]
            if made is None:
                made = numpy.empty((*part.shape[:2], scale * sides[0], scale * sides[1]), part.dtype)
            # What the next window does not replace of this one is as far from its end.
            above, before = (scale * overlap if start else 0 for start in (top, left))
            place = made[:, :, scale * top : scale * top + part.shape[2], scale * left : scale * left + part.shape[3]]
            place[:, :, above:, before:] = part[:, :, above:, before:]
    assert made is not None
    return made[:, :, : scale * picture.shape[2], : scale * picture.shape[3]]
