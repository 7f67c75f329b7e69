"""Grids of pictures: one labelled column for each generator, one row for each image."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from slimgen.errors import SlimgenError

SMALLEST = 128  # pixels that a picture has at least in a grid; smaller ones are enlarged
GAP, MARGIN, TITLE = 6, 12, 30
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
    cells = {name: _pictures(name, images) for name, images in columns.items()}
    rows = {len(pictures) for pictures in cells.values()}
    if len(rows) != 1 or 0 in rows:
        counts = ", ".join(f"{name} {len(pictures)}" for name, pictures in cells.items())
        raise SlimgenError("the columns of a grid hold the same number of pictures, at least one", counts or "none")
    largest = max(max(picture.shape[:2]) for pictures in cells.values() for picture in pictures)
    side = max(scale, -(-SMALLEST // largest)) * largest
    (count,) = rows
    width = 2 * MARGIN + len(cells) * (side + GAP) - GAP
    height = MARGIN + TITLE + count * (side + GAP) - GAP + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, (name, pictures) in enumerate(cells.items()):
        left = MARGIN + column * (side + GAP)
        draw.text((left + side / 2, MARGIN + TITLE / 2 - 3), name, INK, _font(name, side), anchor="mm")
        for row, picture in enumerate(pictures):
            sheet.paste(_enlarged(picture, side), (left, MARGIN + TITLE + row * (side + GAP)))
    sheet.save(path, format="PNG")
    return np.array(sheet)


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
