"""Grids of pictures: a labelled column per generator and a row per image, or one panel per generator."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from slimgen.errors import SlimgenError
from slimgen.size import Size

SMALLEST = 128  # fewest pixels of a picture's longer side in a grid, half as many in a panel; smaller ones are enlarged
GAP, MARGIN, TITLE, SEAM = 6, 12, 30, 2
PAPER, INK = (255, 255, 255), (33, 37, 41)


def grid(columns: Mapping[str, Tensor], path: Path, scale: int = 1) -> NDArray[np.uint8]:
    """Write a PNG that shows the columns side by side under their names.

    Columns are names (input, target, original, found, narrowed ...) to pictures, float32 (N, channels, H, W) in
    [-1, 1], with the same N in all columns. Pictures that are neither grey nor RGB are shown as in `how_shown`. All are
    enlarged by a whole number, at least `scale`, without interpolation, so that generated details stay visible. The
    grid is also returned, uint8 (height, width, 3).

    Raises:
        SlimgenError: no pictures, or columns of different lengths.
    """
    return _sheet(_columns(columns), 1, path, max(scale, 1), SMALLEST, seam=GAP, between=GAP)


def panels(columns: Mapping[str, Tensor], path: Path, scale: int = 1) -> NDArray[np.uint8]:
    """Write a PNG with one square panel of pictures per generator, under its name.

    Pictures at the same place in their panels are from the same input. Arguments, enlargement, result and errors are
    those of `grid`, but only the largest square number of the N pictures is shown.
    """
    pictures = _columns(columns)
    across = isqrt(len(next(iter(pictures.values()))))
    pictures = {name: images[: across * across] for name, images in pictures.items()}
    return _sheet(pictures, across, path, max(scale, 1), SMALLEST // 2, seam=SEAM, between=MARGIN)


def _sheet(
    pictures: Mapping[str, NDArray[np.uint8]],
    across: int,
    path: Path,
    scale: int,
    smallest: int,
    *,
    seam: int,
    between: int,
) -> NDArray[np.uint8]:
    """Write a PNG with each column's pictures, `across` in a row, under its name."""
    largest = Size(*(max(images.shape[axis] for images in pictures.values()) for axis in (1, 2)))
    times = max(scale, -(-smallest // max(largest)))
    cell = Size(*(times * side for side in largest))  # room for each picture, a whole number of times the largest
    down = -(-len(next(iter(pictures.values()))) // across)
    wide, high = across * (cell.width + seam) - seam, down * (cell.height + seam) - seam
    width = 2 * MARGIN + len(pictures) * (wide + between) - between
    sheet = Image.new("RGB", (width, MARGIN + TITLE + high + MARGIN), PAPER)
    for column, (name, images) in enumerate(pictures.items()):
        left = MARGIN + column * (wide + between)
        middle = left + wide / 2, MARGIN + TITLE / 2 - 3
        ImageDraw.Draw(sheet).text(middle, name, INK, _font(name, wide), anchor="mm")
        for index, picture in enumerate(images):
            row, step = divmod(index, across)
            corner = left + step * (cell.width + seam), MARGIN + TITLE + row * (cell.height + seam)
            times = max(1, min(cell.height // picture.shape[0], cell.width // picture.shape[1]))
            enlarged = np.ascontiguousarray(picture.repeat(times, axis=0).repeat(times, axis=1))
            sheet.paste(Image.fromarray(enlarged), corner)
    sheet.save(path, format="PNG")
    return np.array(sheet)


def _columns(columns: Mapping[str, Tensor]) -> dict[str, NDArray[np.uint8]]:
    """Return the pictures of each column as uint8 (N, H, W, 3), equally many in all columns."""
    pictures = {name: eight_bits(name, images) for name, images in columns.items()}
    counts = {name: len(images) for name, images in pictures.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        said = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
        raise SlimgenError("the columns of a grid must hold the same number of pictures, at least one", said)
    return pictures


def eight_bits(name: str, images: Tensor) -> NDArray[np.uint8]:
    """Return the pictures of a column, (N, C, H, W) in [-1, 1], as uint8 (N, H, W, 3)."""
    if images.dim() != 4 or images.shape[1] < 1:
        raise SlimgenError("a grid needs pictures of shape (N, channels, H, W)", f"{name}: {tuple(images.shape)}")
    images = images.mean(1, keepdim=True) if images.shape[1] == 2 else images[:, :3]
    values = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    return np.repeat(values, 3 // values.shape[1], axis=1).transpose(0, 2, 3, 1)


def how_shown(channels: int) -> str | None:
    """Return how pictures with this number of channels are shown, if they are neither grey nor RGB."""
    if channels in (1, 3):
        return None
    how = "their mean, grey" if channels == 2 else "the first three of them, as red, green and blue"
    return f"pictures of {channels} channels are shown by {how}"


def _font(text: str, side: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the largest font, of at most 16 pixels, in which the text fits over its column."""
    for size in range(16, 8, -1):
        font = ImageFont.load_default(size)
        if font.getbbox(text)[2] <= side:
            break
    return font
