"""Texts for people: numbers in their largest unit, and escaping for formats in which some characters have a meaning."""

import re

from slimgen.errors import printable


def markdown(text: str) -> str:
    """Return a text for Markdown: on one line, with its special characters and control codes escaped."""
    return re.sub(r"[\\`*\[\]<>|]", r"\\\g<0>", printable(" ".join(text.split())))


def amount(value: float | None) -> str:
    """Return a count in its largest unit: 56.8 G, 11.4 M, 310 k."""
    if value is None:
        return "-"
    for unit, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * unit:
            return f"{three(value / unit)}{letter}"
    return f"{value:.0f}"


def three(value: float) -> str:
    """Return three significant digits, never in powers of ten."""
    places = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{places}f}"
