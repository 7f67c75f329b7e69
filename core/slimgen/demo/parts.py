"""Binary files in the form of scripts, which a page may load from the file system, where it may fetch nothing."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import NamedTuple

PIECE = 24 * 2**20
"""Bytes of base64 in one script, a multiple of 4: browsers limit the length of a text."""


class Script(NamedTuple):
    """A file of the folder: its name and its content."""

    file: str
    content: bytes


def scripts(name: str, content: bytes) -> Iterator[Script]:
    """Yield the scripts that give a part to the page: `parts/NAME-0.js` and, of a large one, further ones.

    The bytes are compressed by gzip and written in base64. The same content gives the same scripts.
    """
    text = base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()
    for number, start in enumerate(range(0, len(text), PIECE)):
        call = f"demo.take({json.dumps(name)}, {number}, {json.dumps(text[start : start + PIECE])});\n"
        yield Script(f"parts/{name}-{number}.js", call.encode())
