"""Decoding of untrusted image files to arrays: checked before they are decoded, and rejected with a reason."""

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from slimgen.data.bands import MOST_PIXELS, Kind, Values, is_npy, is_tiff, npy_kind, read_npy, read_tiff, tiff_kind
from slimgen.data.rejected import Rejected
from slimgen.size import Size

__all__ = [
    "FORMATS",
    "MOST_PIXELS",
    "RGB",
    "Form",
    "Rejected",
    "alone",
    "contents",
    "decode",
    "kind_of",
    "opened",
    "quiet",
]

#: Formats that Pillow may open here. Only these, because some of its other readers (EPS) run programs on the file.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "PPM")
LARGE = 8_000_000
"""Number of pixels from which pictures are decoded one at a time."""
_ONE = threading.RLock()
GREY = frozenset({"1", "L", "LA", "La", "I", "F"})
"""Pillow's modes of one channel, besides those of 16 bits; alpha is composited on white."""


class Form(NamedTuple):
    """Form of the decoded pictures of one side of a data set, with 8 bits per channel.

    Attributes:
        channels: number of channels; a grey picture becomes three equal channels where the others have three.
        low: value that becomes 0, in a picture of more than 8 bits.
        high: value that becomes 255; None is the largest value of 16 bits.
    """

    channels: int = 3
    low: float = 0
    high: float | None = None


RGB = Form()
DEEP = 65535
"""Largest value of 16 bits."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image of any usual kind as upright RGB, uint8 (height, width, 3).

    The content decides the format, not the name. Palettes, grey and CMYK become RGB, 16-bit grey is divided by 257,
    transparent pixels are composited on white, and the camera's orientation is applied. Of an animation, the first
    frame is read.

    Raises:
        Rejected: the file is missing, no image, too large, truncated, or has values without a fixed range.
    """
    with quiet():
        return decode(path, contents(path))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings and log; their causes are raised as `Rejected` here.

    Warning filters belong to the process, so a pool of threads enters this once around all calls of `decode`.
    """
    log = logging.getLogger("PIL")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        log.setLevel(before)


def contents(path: Path) -> bytes:
    """Read a file of at most 8 bytes per pixel, as uncompressed 16-bit RGBA needs.

    Raises:
        Rejected: the file is missing, not a regular file, empty, unreadable or too large.
    """
    try:
        _require_plain(path)
        return path.read_bytes()
    except OSError as error:
        raise Rejected(path, f"cannot be read ({error.strerror or error})") from error


def _require_plain(path: Path) -> None:
    if not path.is_file():
        raise Rejected(path, "is not a regular file" if path.exists() else "does not exist")
    length = path.stat().st_size
    if length == 0:
        raise Rejected(path, "is empty")
    if length > 8 * MOST_PIXELS:
        raise Rejected(path, f"has {length:,} bytes, more than {8 * MOST_PIXELS:,}")


def decode(path: Path, data: bytes, form: Form = RGB) -> NDArray[np.uint8]:
    """Decode the bytes of an image file as uint8 (height, width, channels); call it inside `quiet`.

    As `read_image`, for any form. The path is only used in errors.

    Raises:
        Rejected: as `read_image`, or it has other channels than the form.
    """
    values = _eight_bits(path, values_of(path, data), form)
    if values.shape[2] == 1 and form.channels == 3:
        return np.repeat(values, 3, axis=2)
    if values.shape[2] != form.channels:
        came, others = _channels(values.shape[2]), _channels(form.channels)
        raise Rejected(path, f"has {came}, but the others of its side have {others}")
    return values


def alone(data: bytes) -> AbstractContextManager[object]:
    """Return a lock for decoding and resizing a large picture, since several at once would not fit into memory."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            large = image.width * image.height > LARGE
    except Exception:  # none of Pillow's formats, or damaged: decoding it gives the reason
        large = len(data) > LARGE
    return _ONE if large else nullcontext()


def values_of(path: Path, data: bytes) -> Values:
    """Return the unscaled values of an image file's bytes, (height, width, channels); call it inside `quiet`.

    Raises:
        Rejected: as `read_image`, except for the range.
    """
    if is_npy(data):
        return read_npy(path, data)
    if is_tiff(data) and _beyond_pillow(path, io.BytesIO(data)):
        return read_tiff(path, data)
    with opened(path, data) as image:
        with suppress(Exception):  # damaged EXIF data do not mean a damaged picture
            image = ImageOps.exif_transpose(image)
        return _values(image)


def kind_of(path: Path) -> Kind:
    """Return the kind of an image file from its header, without decoding pixels; call it inside `quiet`.

    Raises:
        Rejected: as `read_image`, as far as the header shows it.
    """
    try:
        _require_plain(path)
        with path.open("rb") as file:
            start = file.read(4096)
            if is_npy(start):
                return npy_kind(path, start)
            if is_tiff(start) and _beyond_pillow(path, file):
                return tiff_kind(path, path)
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                grey, deep = _is_grey(image), _is_deep(image)
                kind = np.float32 if image.mode == "F" else np.int32 if deep else np.uint8
                cut = image.format == "PNG" and not grey and start[24:25] == b"\x10"  # Pillow keeps 8 bits of a colour
                more = getattr(image, "n_frames", 1) > 1
                return Kind((image.height, image.width), 1 if grey else 3, np.dtype(kind), cut, more)
    except Rejected:
        raise
    except Exception as error:  # decoding it gives the full reason
        raise Rejected(path, f"is not an image in one of the formats {', '.join(FORMATS)}") from error


def _beyond_pillow(path: Path, file: object) -> bool:
    """Return whether a TIFF is beyond Pillow: more bands than colours, or colours of more than 8 bits."""
    file.seek(0)  # type: ignore[attr-defined]
    try:
        with Image.open(file, formats=("TIFF",)) as image:  # type: ignore[arg-type]
            tags = image.tag_v2  # type: ignore[attr-defined]
            bits, samples = tags.get(258, (8,)), tags.get(277, 1)
            return image.mode == "RGBX" or samples > len(image.getbands()) or (samples > 1 and max(bits) > 8)
    except Image.DecompressionBombError:
        return False
    except Exception:
        return True


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[Image.Image]:
    """Open the bytes of an image file with Pillow, checked and loaded; use it inside `quiet`.

    Raises:
        Rejected: as `read_image`; also in place of any error while the image is used.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Rejected(path, f"has far more than {MOST_PIXELS:,} pixels", "reduce its size first") from error
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise Rejected(path, f"is not an image in one of the formats {', '.join(FORMATS)}") from error
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            size = Size(height, width).spoken
            raise Rejected(path, f"is {size}, more than {MOST_PIXELS:,} pixels", "reduce its size first")
        try:
            image.load()
            yield image
        except Rejected:
            raise
        except Exception as error:
            raise Rejected(path, f"is damaged or cut short ({image.format}: {error})") from error


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _is_grey(image: Image.Image) -> bool:
    return image.mode in GREY or image.mode.startswith("I;16")


def _values(image: Image.Image) -> Values:
    if image.mode == "F" or _is_deep(image):
        return np.asarray(image)[:, :, None]
    grey = _is_grey(image)
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        above = image.convert("RGBA")
        white = Image.new("RGBA", above.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, above)
        del above, white  # a quarter of a gigabyte each for large pictures
    colours = np.array(image.convert("RGB"), dtype=np.uint8)
    return colours[:, :, :1] if grey else colours


def _eight_bits(path: Path, values: Values, form: Form) -> NDArray[np.uint8]:
    """Return values of any type as 8-bit levels; 8-bit values stay, and booleans become black and white.

    Raises:
        Rejected: floats or more than 16 bits without a range of black and white.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    low, high = form.low, form.high
    whole = values.dtype.kind in "ui"
    if high is None:
        hint = "set data.range to the values that become black and white, or save it with 8 bits a channel"
        if not whole:
            raise Rejected(path, "has floating-point values, which have no fixed range", hint)
        if values.min() < 0 or values.max() > DEEP:
            raise Rejected(path, "has whole numbers beyond 16 bits", hint)
        low, high = 0, DEEP
    if not whole and not np.isfinite(values).all():
        raise Rejected(path, "has values that are not finite")
    # Row by row: a large picture as floats would not fit into memory.
    if whole and values.dtype.itemsize <= 2 and values.min() >= 0:
        table = _levels(np.arange(DEEP + 1), low, high)
        return np.stack([table[row] for row in values])
    return np.stack([_levels(row, low, high) for row in values])


def _levels(values: Values, low: float, high: float) -> NDArray[np.uint8]:
    """Map values from low to high to levels from 0 to 255, rounded half up; values outside are clipped."""
    scaled = (values.astype(np.float64) - low) * 255 / (high - low)
    levels: NDArray[np.uint8] = np.floor(scaled.clip(0, 255) + 0.5).astype(np.uint8)
    return levels


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"
