"""Texts from outside, put where marks mean something."""

import re

from slimgen.errors import printable


def markdown(text: str) -> str:
    """A text as it is read in Markdown: on one line, with its marks and codes escaped."""
    return re.sub(r"[\\`*\[\]<>|]", r"\\\g<0>", printable(" ".join(text.split())))
