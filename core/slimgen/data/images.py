"""One image file from outside, to an array: checked before it is decoded, and refused with a reason."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from slimgen.errors import DataError

#: What Pillow may open here. A list, because some of its other readers (EPS) run programs on the file.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "PPM")
#: More are refused before decoding; Pillow's own limit, 178 million, stays in force.
MOST_PIXELS = 64_000_000


class Rejected(DataError):  # noqa: N818 - read as `except Rejected`: a verdict on the file
    """One image that cannot be used; the reason fits after the file's name."""

    def __init__(self, path: Path, reason: str, hint: str | None = None) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}", hint=hint)


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image of any usual kind as upright RGB, uint8 (height, width, 3); content decides the format, not the name.

    Palettes, grey and CMYK become RGB, 16-bit grey is divided by 257, transparent pixels are laid on white, and
    the camera's orientation is honoured. Of an animation the first frame is taken.

    Raises:
        Rejected: if it is missing, no image, too large, truncated, or of a kind without a fixed range.
    """
    with quiet():
        return decode(path, contents(path))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings in: what matters of them is raised as `Rejected` here.

    Warning filters belong to the process, so a pool of threads enters this once around all calls of `decode`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def contents(path: Path) -> bytes:
    """Read a file's bytes, at most the 8 a pixel of 16-bit RGBA needs uncompressed.

    Raises:
        Rejected: if it is missing, not a regular file, empty, unreadable or too large.
    """
    try:
        if not path.is_file():
            raise Rejected(path, "is not a regular file" if path.exists() else "does not exist")
        length = path.stat().st_size
        if length == 0:
            raise Rejected(path, "is empty")
        if length > 8 * MOST_PIXELS:
            raise Rejected(path, f"has {length:,} bytes, more than {8 * MOST_PIXELS:,}")
        return path.read_bytes()
    except OSError as error:
        raise Rejected(path, f"cannot be read ({error.strerror or error})") from error


def decode(path: Path, data: bytes) -> NDArray[np.uint8]:
    """`read_image` of the bytes of a file, whose path is named in errors only. Call it inside `quiet`."""
    with opened(path, data) as image:
        with suppress(Exception):  # damaged camera data say nothing about the picture itself
            image = ImageOps.exif_transpose(image)
        return _rgb(path, image)


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[Image.Image]:
    """The image in the bytes of a file, checked and read, as it is in the file. Use it inside `quiet`.

    Raises:
        Rejected: as `read_image`; and in place of whatever fails while the image is used.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Rejected(path, f"has far more than {MOST_PIXELS:,} pixels", "reduce it first") from error
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise Rejected(path, f"is not an image in one of the formats {', '.join(FORMATS)}") from error
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise Rejected(path, f"is {width} x {height}, more than {MOST_PIXELS:,} pixels", "reduce it first")
        try:
            image.load()
            yield image
        except Rejected:
            raise
        except Exception as error:
            raise Rejected(path, f"is damaged or cut short ({image.format}: {error})") from error


def _rgb(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise Rejected(path, "holds floating-point values, which have no fixed range", "save it with 8 bits a channel")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise Rejected(path, "holds whole numbers beyond 16 bits", "save it with 8 bits a channel")
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        above = image.convert("RGBA")
        white = Image.new("RGBA", above.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, above)
    return np.array(image.convert("RGB"), dtype=np.uint8)
