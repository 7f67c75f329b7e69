"""Pictures of unequal sizes, read one at a time, where a single tensor cannot hold them."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slimgen.size import Size


class Pictures:
    """Pictures of any sizes in order, each read when it is asked for.

    Args:
        read: function from a row's number to its picture, (1, C, H, W) in [-1, 1].
        shapes: height and width of every row.
        rows: numbers of the rows, in order; None: all.
    """

    def __init__(
        self, read: Callable[[int], Tensor], shapes: Sequence[Size], rows: Sequence[int] | None = None
    ) -> None:
        self._read, self._shapes = read, shapes
        self._rows = tuple(range(len(shapes)) if rows is None else rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Tensor]:
        """Read every picture, (1, C, H, W)."""
        return map(self._read, self._rows)

    def __getitem__(self, which: slice | Tensor) -> "Pictures":
        """Return some of the pictures, by a slice or by their places (n,); nothing is read."""
        rows = self._rows[which] if isinstance(which, slice) else [self._rows[place] for place in which.tolist()]
        return Pictures(self._read, self._shapes, rows)

    @property
    def shapes(self) -> list[Size]:
        """Height and width of each picture."""
        return [self._shapes[row] for row in self._rows]

    def changed(self, change: Callable[[Tensor], Tensor], scale: int = 1) -> "Pictures":
        """Return the pictures after a change of each, which enlarges them by a scale."""
        shapes = [Size(scale * high, scale * wide) for high, wide in self._shapes]
        return Pictures(lambda row: change(self._read(row)), shapes, self._rows)


Images = Tensor | Pictures
"""Images of one size (N, C, H, W), or of several."""


class PicturePair(NamedTuple):
    """Inputs of an evaluation and the images that outputs are compared with, of unequal sizes."""

    input: Pictures
    target: Pictures

    def chosen(self, which: slice | Tensor) -> "PicturePair":
        """Return some of the pictures with their targets, by a slice or by their places (n,)."""
        return PicturePair(self.input[which], self.target[which])


def batches_of(images: Images, batch: int) -> Iterator[Tensor]:
    """Return the images in order in batches, or one at a time where their sizes are unequal."""
    return iter(images) if isinstance(images, Pictures) else iter(torch.split(images, batch))


def batch_of(images: Images, span: slice) -> Tensor:
    """Return a batch of images by their places; of unequal sizes there is one."""
    if not isinstance(images, Pictures):
        return images[span]
    (picture,) = images[span]
    return picture


def middle(picture: Tensor, size: Size) -> Tensor:
    """Return the middle part (N, C, *size) of pictures (N, C, H, W), mirrored at their edges where they are smaller."""
    for dim, side in zip((-2, -1), size, strict=True):
        length = picture.shape[dim]
        places = torch.arange(side) + (length - side) // 2
        places = places % (2 * length)
        picture = picture.index_select(dim, torch.where(places < length, places, 2 * length - 1 - places))
    return picture


def spoken(images: Images) -> str:
    """Return the sizes of images in words: `256x256 px`, or the smallest and the largest."""
    if not isinstance(images, Pictures):
        return f"{images.shape[-2]}x{images.shape[-1]} px"
    ends = [Size(*map(end, zip(*images.shapes, strict=True))) for end in (min, max)]
    return " to ".join(f"{high}x{wide}" for high, wide in dict.fromkeys(ends)) + " px"
