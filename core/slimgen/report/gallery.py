"""Generated pictures of the same inputs, for the report: each at its own resolution, with its score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from slimgen.report.inline import of_pixels
from slimgen.report.pictures import eight_bits
from slimgen.report.words import quality

LEAST, NARROW = 160, 128
"""Smallest length of a picture's longer side on the page, in CSS pixels, and what a full row may shrink it to."""
ROOM, GAP = 1086, 10
"""Width of a row on a large screen, and of the gap between two pictures, in CSS pixels."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of the same inputs, a row for each input.

    Attributes:
        title: a heading that says which inputs they are.
        columns: name (input, target, original, found ...) to pictures, float32 (N, channels, H, W) in [-1, 1].
        rows: the names of the N inputs.
        metric: printed name of the scores' metric, which is one of single images; empty without scores.
        scores: the N values of the metric, by column.
    """

    title: str
    columns: Mapping[str, Tensor]
    rows: Sequence[str]
    metric: str = ""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Cell(NamedTuple):
    """A picture of the report: its column, its pixels as a data URI, its width on the page in CSS pixels, its score."""

    column: str
    source: str
    width: int
    score: str


def cells_of(gallery: Gallery) -> list[tuple[str, list[Cell]]]:
    """Return the rows of a gallery: the name of each, and its cells.

    Small pictures are enlarged on the page, by a whole number where their row has room for it; the file keeps their
    resolution.

    Raises:
        SlimgenError: a column holds no pictures.
    """
    pictures = {name: eight_bits(name, images) for name, images in gallery.columns.items()}
    side, wide = (
        max(max(images.shape[axis] for axis in axes) for images in pictures.values()) for axes in ((1, 2), (2,))
    )
    width = _width(wide, -(-LEAST // side), len(pictures))
    return [
        (
            name,
            [
                Cell(column, of_pixels(images[row]), width, _score(gallery, column, row))
                for column, images in pictures.items()
            ],
        )
        for row, name in enumerate(gallery.rows)
    ]


def _width(wide: int, times: int, count: int) -> int:
    """Return the width on the page of pictures that are `times` enlarged, or less where a row has too little room."""
    room = (ROOM - GAP * (count - 1)) // count
    if wide * times <= room or wide >= LEAST or room < NARROW:
        return wide * times
    fewer = room // wide * wide
    return fewer if fewer >= NARROW else room


def _score(gallery: Gallery, column: str, row: int) -> str:
    return quality(gallery.scores[column][row]) if column in gallery.scores else ""
