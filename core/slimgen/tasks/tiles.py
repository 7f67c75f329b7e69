"""Passing of a large picture through a generator in tiles, so that memory does not grow with the picture."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from slimgen.errors import DataError


class Span(NamedTuple):
    """A tile along one side: from `first` to `last`, given together with the pixels from `start` to `end`."""

    first: int
    last: int
    start: int
    end: int


def spans(length: int, tile: int, overlap: int) -> Iterator[Span]:
    """Yield the tiles of a side, each given with `overlap` further pixels at both ends where there are any."""
    for first in range(0, length, tile):
        last = min(first + tile, length)
        yield Span(first, last, max(0, first - overlap), min(length, last + overlap))


def mirrored(net: Callable[[Tensor], Tensor], *, scale: int, multiple: int) -> Callable[[Tensor], Tensor]:
    """Return a generator that takes pictures of any sides, for one that takes only multiples of some pixels.

    Pictures are continued at their right and bottom by their mirror image, and what is made of it is cut off, as
    Real-ESRGAN does (Wang et al. 2021, published code).

    Args:
        net: function from (N, C, H, W) to (N, C, scale x H, scale x W).
        scale: factor of the enlargement.
        multiple: pixels of which the generator's sides must be multiples; pictures must be at least as large.
    """

    def whole(pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        more = -width % multiple, -height % multiple
        if not any(more):
            return net(pictures)
        made = net(functional.pad(pictures, (0, more[0], 0, more[1]), mode="reflect"))
        return made[..., : scale * height, : scale * width]

    return whole


def in_tiles(net: Callable[[Tensor], Tensor], pictures: Tensor, *, scale: int, tile: int, overlap: int) -> Tensor:
    """Return a generator's images for pictures, which pass through it in tiles if they have more pixels than a tile.

    Each tile is given with the pixels around it, and what is made of these is cut off. So the result equals that of
    whole pictures wherever an output pixel depends on no input further away than `overlap`.

    Args:
        net: function from (N, C, H, W) to (N, C, scale x H, scale x W).
        pictures: (N, C, H, W).
        scale: factor of the enlargement.
        tile: side of a tile.
        overlap: pixels around it that are given with it.

    Raises:
        DataError: the generator enlarges by another factor.
    """
    height, width = pictures.shape[-2:]
    if height * width <= tile * tile:
        return net(pictures)
    made: Tensor | None = None
    for down, across in product(spans(height, tile, overlap), spans(width, tile, overlap)):
        part = net(pictures[..., down.start : down.end, across.start : across.end])
        wanted = scale * (down.end - down.start), scale * (across.end - across.start)
        if part.shape[-2:] != wanted:
            came = "x".join(map(str, part.shape[-2:]))
            raise DataError(f"the generator must enlarge a tile to {'x'.join(map(str, wanted))} pixels", came)
        if made is None:
            made = part.new_empty((*part.shape[:2], scale * height, scale * width))
        inside = [slice(scale * (one.first - one.start), scale * (one.last - one.start)) for one in (down, across)]
        place = [slice(scale * one.first, scale * one.last) for one in (down, across)]
        made[..., place[0], place[1]] = part[..., inside[0], inside[1]]
    assert made is not None
    return made
