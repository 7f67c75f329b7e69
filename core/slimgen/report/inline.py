"""Pictures inside a page: data URIs, without loss, in the smaller one of two formats."""

import base64
import io
import mimetypes
from functools import cache
from pathlib import Path

from PIL import Image, features

from slimgen.errors import RunError

EFFORT = 60
"""How hard WebP tries to make a picture small, from 0 to 100."""


def inline(file: Path) -> str:
    """Return a picture file as a data URI; a PNG may become a lossless WebP.

    Raises:
        RunError: the file cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"{file}, which the report shows, must be readable", error.strerror or error) from error
    kind = mimetypes.guess_type(file.name)[0] or "image/png"
    return of_png(content) if kind == "image/png" else _uri(content, kind)


def of_png(content: bytes) -> str:
    """Return a PNG of 8 bits as a data URI, or, if that is smaller, its pixels as a lossless WebP."""
    with Image.open(io.BytesIO(content)) as image:
        if image.mode not in ("RGB", "RGBA"):
            return _uri(content, "image/png")
        return _smaller(content, image)


def of_pixels(picture: object) -> str:
    """Return a picture, uint8 (height, width, 3), as the data URI of a PNG or a lossless WebP."""
    image, file = Image.fromarray(picture), io.BytesIO()  # type: ignore[arg-type]
    image.save(file, format="PNG", optimize=True)
    return _smaller(file.getvalue(), image)


def _smaller(png: bytes, image: Image.Image) -> str:
    if not _webp() or max(image.size) > 16383:  # the most that WebP can hold
        return _uri(png, "image/png")
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, format="WEBP", lossless=True, exact=True, quality=EFFORT, method=4)
    content = file.getvalue()
    return _uri(content, "image/webp") if len(content) < len(png) else _uri(png, "image/png")


@cache
def _webp() -> bool:
    """Return whether this Pillow writes WebP."""
    return bool(features.check("webp"))


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
