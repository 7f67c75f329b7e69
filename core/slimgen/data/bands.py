"""Pictures that Pillow does not hold, as arrays: of any number of bands, in TIFF files; and in .npy files."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimgen.data.rejected import Rejected

MOST_BANDS = 64
MOST_PIXELS = 64_000_000
"""More are refused before decoding; Pillow's own limit, 178 million, stays in force."""
Values = NDArray[Any]
"""What a picture holds: (height, width, channels), of 8-bit, 16-bit or other whole numbers, or of floats."""
ALPHA = ((1,), (2,))
"""How a TIFF says that its fourth band is alpha, multiplied already or not."""


class Kind(NamedTuple):
    """What the header of a picture says.

    Attributes:
        shape: height and width.
        channels: alpha is none, since it is laid on white.
        dtype: of its values.
        cut: the file holds more bits than are read.
        more: it holds more pages or frames than the first, which is read.
    """

    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    cut: bool = False
    more: bool = False


def is_npy(data: bytes) -> bool:
    """Whether a file begins as an .npy file does."""
    return data.startswith(b"\x93NUMPY")


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as a TIFF does, of either order of bytes and of either size of offsets."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def npy_kind(path: Path, data: bytes) -> Kind:
    """The kind of an .npy file, of whose bytes the first few hundred will do.

    Raises:
        Rejected: if it is no picture.
    """
    return _npy(path, data)[0]


def read_npy(path: Path, data: bytes) -> Values:
    """The values in the bytes of an .npy file; raises as `npy_kind`, and for a file that is cut short."""
    kind, start, fortran = _npy(path, data)
    count = math.prod((*kind.shape, kind.channels))
    if len(data) - start < count * kind.dtype.itemsize:
        raise Rejected(path, "is damaged or cut short (an array of fewer values than it says)")
    values = np.frombuffer(data, kind.dtype, count, start)
    if fortran:
        return values.reshape((*kind.shape, kind.channels)[::-1]).transpose(2, 1, 0)
    return values.reshape(*kind.shape, kind.channels)


def _npy(path: Path, data: bytes) -> tuple[Kind, int, bool]:
    """The kind, where the values begin, and whether the first index runs fastest."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read: Callable[..., Any] = np.lib.format.read_array_header_1_0
        shape, fortran, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    except Exception as error:  # a header from outside may hold anything
        raise Rejected(path, f"is damaged or cut short (npy: {_line(error)})") from error
    sides = (*shape, 1) if len(shape) == 2 else shape
    if len(sides) != 3 or min(sides) < 1 or sides[2] > MOST_BANDS:
        rule = f"where a picture is (height, width) or (height, width, up to {MOST_BANDS} channels)"
        raise Rejected(path, f"is an array of shape {shape}, {rule}")
    return _kind(path, sides, dtype), file.tell(), fortran


def tiff_kind(path: Path, data: bytes | Path) -> Kind:
    """The kind of the first image of a TIFF; raises Rejected if it is none."""
    kind: Kind = _first_page(path, data, lambda page, kind: kind._replace(more=page.parent.is_multipage))
    return kind


def read_tiff(path: Path, data: bytes) -> Values:
    """The values of the first image of a TIFF; alpha is laid on white. Raises Rejected if it is none, or damaged."""

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

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would print is raised here, or means nothing
    try:
        with TiffFile(io.BytesIO(data) if isinstance(data, bytes) else data) as file:
            page: Any = file.pages.first
            bands = page.samplesperpixel
            if not 1 <= bands <= MOST_BANDS or page.imagedepth != 1:
                raise Rejected(path, f"has {bands} bands and a depth of {page.imagedepth}, more than a picture has")
            return use(page, _kind(path, (page.imagelength, page.imagewidth, bands), np.dtype(page.dtype)))
    except Rejected:
        raise
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        hint = "save it without compression, or with deflate" if "imagecodecs" in str(error) else None
        raise Rejected(path, f"is damaged, or a TIFF of a kind that is not read ({_line(error)})", hint) from error


def _kind(path: Path, sides: tuple[int, ...], dtype: np.dtype[Any]) -> Kind:
    height, width, channels = sides
    if height * width > MOST_PIXELS or height * width * channels * dtype.itemsize > 8 * MOST_PIXELS:
        size = f"{width} x {height} of {channels} channels"
        raise Rejected(path, f"is {size}, more than {MOST_PIXELS:,} pixels of 8 bytes", "reduce it first")
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise Rejected(path, f"holds values of the type {dtype}, which are no levels", "save it with 8 or 16 bits")
    return Kind((height, width), channels, dtype)


def _on_white(values: Values) -> Values:
    most = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    share = values[..., 3:].astype(np.float64) / most
    laid = values[..., :3] * share + most * (1 - share)
    return (laid.round() if most > 1 else laid).astype(values.dtype)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
