"""Escaping of texts from outside for formats in which some characters have a meaning."""

import re

from slimgen.errors import printable


def markdown(text: str) -> str:
    """Return a text for Markdown: on one line, with its special characters and control codes escaped."""
    return re.sub(r"[\\`*\[\]<>|]", r"\\\g<0>", printable(" ".join(text.split())))
