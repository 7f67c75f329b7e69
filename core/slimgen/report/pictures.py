"""Grids of pictures: a labelled column for each generator and a row for each image, or a panel for each generator."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from slimgen.errors import SlimgenError

SMALLEST = 128  # pixels that a picture has at least in a grid; smaller ones are enlarged
GAP, MARGIN, TITLE, SEAM = 6, 12, 30, 2
PAPER, INK = (255, 255, 255), (33, 37, 41)


def grid(columns: Mapping[str, Tensor], path: Path, scale: int = 1) -> NDArray[np.uint8]:
    """Writes a PNG that shows the columns side by side, their names above them.

    Pictures are enlarged by whole numbers, without interpolation, so that what a generator made stays visible.

    Args:
        columns: name (input, target, original, found, uniform ...) to pictures, float32 (N, C, H, W) in [-1, 1], with
            1 or 3 channels; the same N in all of them.
        path: the PNG; its folder exists.
        scale: enlarge at least so many times.

    Returns:
        The grid itself, uint8 (height, width, 3).

    Raises:
        SlimgenError: no pictures, or columns of different lengths.
    """
    cells = _cells(columns)
    side = _side(cells, max(scale, 1), SMALLEST)
    count = len(next(iter(cells.values())))
    width = 2 * MARGIN + len(cells) * (side + GAP) - GAP
    height = MARGIN + TITLE + count * (side + GAP) - GAP + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    for column, (name, pictures) in enumerate(cells.items()):
        left = MARGIN + column * (side + GAP)
        _head(sheet, name, left, side)
        for row, picture in enumerate(pictures):
            sheet.paste(_enlarged(picture, side), (left, MARGIN + TITLE + row * (side + GAP)))
    sheet.save(path, format="PNG")
    return np.array(sheet)


def panels(columns: Mapping[str, Tensor], path: Path, scale: int = 1) -> NDArray[np.uint8]:
    """Writes a PNG that shows a square panel of each generator's pictures, side by side, their names above them.

    Pictures of one place in their panels were made of the same. They are enlarged as those of a grid are.

    Args:
        columns: name to pictures, as `grid`; of N, the largest square number is shown.
        path: the PNG; its folder exists.
        scale: enlarge at least so many times.

    Returns:
        The sheet itself, uint8 (height, width, 3).

    Raises:
        SlimgenError: no pictures, or columns of different lengths.
    """
    cells = _cells(columns)
    side = _side(cells, max(scale, 1), SMALLEST // 2)
    across = isqrt(len(next(iter(cells.values()))))
    panel = across * (side + SEAM) - SEAM
    width = 2 * MARGIN + len(cells) * (panel + MARGIN) - MARGIN
    sheet = Image.new("RGB", (width, MARGIN + TITLE + panel + MARGIN), PAPER)
    for column, (name, pictures) in enumerate(cells.items()):
        left = MARGIN + column * (panel + MARGIN)
        _head(sheet, name, left, panel)
        for place, picture in enumerate(pictures[: across * across]):
            row, step = divmod(place, across)
            at = left + step * (side + SEAM), MARGIN + TITLE + row * (side + SEAM)
            sheet.paste(_enlarged(picture, side), at)
    sheet.save(path, format="PNG")
    return np.array(sheet)


def _cells(columns: Mapping[str, Tensor]) -> dict[str, NDArray[np.uint8]]:
    """The pictures of each column, as many in all."""
    cells = {name: _pictures(name, images) for name, images in columns.items()}
    counts = {len(pictures) for pictures in cells.values()}
    if len(counts) != 1 or 0 in counts:
        told = ", ".join(f"{name} {len(pictures)}" for name, pictures in cells.items())
        raise SlimgenError("the columns of a grid hold the same number of pictures, at least one", told or "none")
    return cells


def _side(cells: Mapping[str, NDArray[np.uint8]], scale: int, smallest: int) -> int:
    """Pixels of the square that holds each picture, enlarged a whole number of times."""
    largest = max(int(max(pictures.shape[1:3])) for pictures in cells.values())
    return max(scale, -(-smallest // largest)) * largest


def _head(sheet: Image.Image, name: str, left: int, width: int) -> None:
    """A name above its pictures."""
    place = left + width / 2, MARGIN + TITLE / 2 - 3
    ImageDraw.Draw(sheet).text(place, name, INK, _font(name, width), anchor="mm")


def _pictures(name: str, images: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) in [-1, 1] to uint8 (N, H, W, 3)."""
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise SlimgenError("a grid shows pictures (N, 1 or 3, H, W)", f"{name}: {tuple(images.shape)}")
    values = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    return np.repeat(values, 3 // values.shape[1], axis=1).transpose(0, 2, 3, 1)


def _enlarged(picture: NDArray[np.uint8], side: int) -> Image.Image:
    """As often as it fits into a square of `side` pixels, a whole number of times."""
    times = max(1, side // max(picture.shape[:2]))
    return Image.fromarray(np.ascontiguousarray(picture.repeat(times, axis=0).repeat(times, axis=1)))


def _font(text: str, side: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest letters, of at most 16 pixels, in which the text fits over its column."""
    for size in range(16, 8, -1):
        font = ImageFont.load_default(size)
        if font.getbbox(text)[2] <= side:
            break
    return font
