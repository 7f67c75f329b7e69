"""Pictures beyond Pillow as arrays: TIFF files with any number of bands, and .npy files."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimgen.data.rejected import Rejected
from slimgen.size import Size

MOST_BANDS = 64
MOST_PIXELS = 64_000_000
"""Larger pictures are rejected before decoding; Pillow's limit of 178 million applies too."""
Values = NDArray[Any]
"""Values of a picture (height, width, channels): 8-bit, 16-bit or other whole numbers, or floats."""
ALPHA = ((1,), (2,))
"""TIFF's codes for a fourth band that is alpha, premultiplied or not."""


class Kind(NamedTuple):
    """Kind of a picture, from its header.

    Attributes:
        shape: height and width.
        channels: number of channels without alpha, which is composited on white.
        dtype: type of its values.
        cut: whether the file has more bits than are read.
        more: whether it has more pages or frames than the first, which is read.
    """

    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    cut: bool = False
    more: bool = False


def is_npy(data: bytes) -> bool:
    """Return whether data begin like an .npy file."""
    return data.startswith(b"\x93NUMPY")


def is_tiff(data: bytes) -> bool:
    """Return whether data begin like a TIFF or BigTIFF of either byte order."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def npy_kind(path: Path, data: bytes) -> Kind:
    """Return the kind of an .npy file, for which its first few hundred bytes are enough.

    Raises:
        Rejected: it is no picture.
    """
    return _npy(path, data)[0]


def read_npy(path: Path, data: bytes) -> Values:
    """Return the values in the bytes of an .npy file; raise as `npy_kind`, and for a truncated file."""
    kind, start, fortran = _npy(path, data)
    count = math.prod((*kind.shape, kind.channels))
    if len(data) - start < count * kind.dtype.itemsize:
        raise Rejected(path, "is damaged or cut short (fewer values than its header says)")
    values = np.frombuffer(data, kind.dtype, count, start)
    if fortran:
        return values.reshape((*kind.shape, kind.channels)[::-1]).transpose(2, 1, 0)
    return values.reshape(*kind.shape, kind.channels)


def _npy(path: Path, data: bytes) -> tuple[Kind, int, bool]:
    """Return the kind, the offset of the values, and whether they are in Fortran order."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read: Callable[..., Any] = np.lib.format.read_array_header_1_0
        shape, fortran, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    except Exception as error:  # a header from outside may hold anything
        raise Rejected(path, f"is damaged or cut short (npy: {_line(error)})") from error
    sides = (*shape, 1) if len(shape) == 2 else shape
    if len(sides) != 3 or min(sides) < 1 or sides[2] > MOST_BANDS:
        rule = f"must be (height, width) or (height, width, up to {MOST_BANDS} channels)"
        raise Rejected(path, f"is an array of shape {shape}, which {rule}")
    return _kind(path, sides, dtype), file.tell(), fortran


def tiff_kind(path: Path, data: bytes | Path) -> Kind:
    """Return the kind of the first image of a TIFF; raise Rejected if it is no TIFF."""
    kind: Kind = _first_page(path, data, lambda page, kind: kind._replace(more=page.parent.is_multipage))
    return kind


def read_tiff(path: Path, data: bytes) -> Values:
    """Return the values of the first image of a TIFF, alpha composited on white; raise Rejected if it is damaged."""

    def values_of(page: Any, kind: Kind) -> Values:
        found: Values = page.asarray()
        if found.shape == (kind.channels, *kind.shape) and page.planarconfig == 2:  # band after band
            found = np.moveaxis(found, 0, -1)
        found = found[..., None] if found.ndim == 2 else found
        if found.shape != (*kind.shape, kind.channels):
            raise ValueError(f"an array of shape {found.shape}")
        seen_through = page.photometric == 2 and kind.channels == 4 and tuple(page.extrasamples[:1]) in ALPHA
        return _on_white(found) if seen_through else found

    values: Values = _first_page(path, data, values_of)
    return values


def _first_page(path: Path, data: bytes | Path, use: Callable[[Any, Kind], Any]) -> Any:
    import logging

    from tifffile import TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its messages are raised here, or harmless
    try:
        with TiffFile(io.BytesIO(data) if isinstance(data, bytes) else data) as file:
            page: Any = file.pages.first
            bands = page.samplesperpixel
            if not 1 <= bands <= MOST_BANDS or page.imagedepth != 1:
                most = f"at most {MOST_BANDS} and 1 are allowed"
                raise Rejected(path, f"has {bands} bands and a depth of {page.imagedepth}; {most}")
            return use(page, _kind(path, (page.imagelength, page.imagewidth, bands), np.dtype(page.dtype)))
    except Rejected:
        raise
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        hint = "save it without compression, or with deflate" if "imagecodecs" in str(error) else None
        raise Rejected(path, f"is damaged, or a TIFF of an unsupported kind ({_line(error)})", hint) from error


def _kind(path: Path, sides: tuple[int, ...], dtype: np.dtype[Any]) -> Kind:
    height, width, channels = sides
    if height * width > MOST_PIXELS or height * width * channels * dtype.itemsize > 8 * MOST_PIXELS:
        size = f"{Size(height, width).spoken} with {channels} channels"
        raise Rejected(path, f"is {size}, more than {MOST_PIXELS:,} pixels of 8 bytes", "reduce its size first")
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise Rejected(path, f"has values of the type {dtype}, which cannot be read", "save it with 8 or 16 bits")
    return Kind((height, width), channels, dtype)


def _on_white(values: Values) -> Values:
    most = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    share = values[..., 3:].astype(np.float64) / most
    laid = values[..., :3] * share + most * (1 - share)
    return (laid.round() if most > 1 else laid).astype(values.dtype)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
