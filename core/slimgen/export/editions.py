"""Other editions of an exported file: one shape, pictures of 8 bits, operations for phones."""

from dataclasses import dataclass

STATIC, BYTES, EDGE = "static", "bytes", "edge"
"""Kinds of editions: of one shape, of 8-bit pictures, for phones."""
IDS = "takes ids"
"""Said of an edition that takes label maps as ids."""
EDGES = "edges of instances"
"""Said of one that takes these, too, as a second channel."""


@dataclass(frozen=True)
class Edition:
    """An exported file other than the one that its card is about.

    Attributes:
        kind: `STATIC`, `BYTES` or `EDGE`.
        file: its name, beside the card.
        about: what is different, in words.
        bytes: its size.
        max_abs: largest difference from the PyTorch network's outputs: of a range of [-1, 1], or, where outputs are
            8-bit levels, of 0 .. 255.
        verdict: what a checker says of its use on phones; empty if it was not asked.
    """

    kind: str
    file: str
    about: str
    bytes: int
    max_abs: float
    verdict: str = ""
