"""Forms of a data set's pictures, read from the files: their channels, and the values of black and white."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from slimgen.data.bands import Kind
from slimgen.data.images import DEEP, RGB, Form, Rejected, alone, contents, kind_of, quiet, values_of
from slimgen.errors import DataError

Range = tuple[float, float]
"""Values that become black and white."""
FULL = 65280
"""Largest value from which a picture is taken to use all 16 bits; it becomes the highest 8-bit level."""
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Forms:
    """Forms of the sides of a data set that are pictures, and notes on them."""

    sides: Mapping[str, Form] = field(default_factory=lambda: {"input": RGB, "target": RGB})
    notes: tuple[str, ...] = ()

    @property
    def ranges(self) -> dict[str, Range] | None:
        """Values that become 0 and 255 by side, where these are not the ends of the files' range; else None."""
        return {which: (form.low, form.high) for which, form in self.sides.items() if form.high is not None} or None


def forms_of(sides: Mapping[str, Sequence[Path]], given: Range | None, *, joint: bool = False) -> Forms:
    """Return the forms of pictures by side, from the headers of all files and, above 8 bits, from their values.

    A side has the channels of most of its pictures; grey pictures among RGB ones count as RGB. `joint` gives both sides
    the same channels. Values above 8 bits are mapped from the `given` range, or from 0 to the largest value of the
    side.

    Raises:
        DataError: a range is given, but no picture has more than 8 bits.
    """
    files = {which: list(dict.fromkeys(paths)) for which, paths in sides.items()}
    with quiet():
        kinds = {which: _each(paths, kind_of) for which, paths in files.items()}
        whole = {which: [kind for kind in found if kind is not None] for which, found in kinds.items()}
        together = [kind for found in whole.values() for kind in found]
        notes, forms = list[str](), dict[str, Form]()
        for which, found in whole.items():
            channels = _channels(together if joint else found)
            notes += _mixed(which, channels, found)
            deep = [path for path, kind in zip(files[which], kinds[which], strict=True) if kind and _is_deep(kind)]
            forms[which] = Form(channels)
            if deep and given is not None:
                forms[which] = Form(channels, *given)
            elif deep and (top := _largest(deep)) is not None and top < FULL:
                forms[which] = Form(channels, 0, top)
                notes.append(
                    f"{which}: pictures of 16 bits have values up to {top:,} ({top.bit_length()} bits), which becomes "
                    "white; set data.range for another white"
                )
    if given is not None and together and not any(map(_is_deep, together)):
        raise DataError("data.range needs pictures of more than 8 bits", "only pictures of 8 bits", "leave it out")
    return Forms(forms, tuple(dict.fromkeys(notes)))


def _channels(kinds: Sequence[Kind]) -> int:
    counts = Counter(kind.channels for kind in kinds)
    colour = 3 if counts[3] or not counts[1] else 1
    others = {channels: count for channels, count in counts.items() if channels not in (1, 3)}
    most = max(others, key=lambda channels: (others[channels], -channels), default=colour)
    return most if others.get(most, 0) > counts[1] + counts[3] else colour


def _mixed(which: str, channels: int, kinds: Sequence[Kind]) -> Iterator[str]:
    """Yield notes on pictures that differ from the others."""
    grey = sum(kind.channels == 1 for kind in kinds)
    if channels == 3 and grey > 0:
        others = "the other side's" if grey == len(kinds) else "others"
        how = f"grey; they become RGB with three equal channels, as {others} are RGB"
        yield f"{which}: {grey} of {len(kinds)} pictures are {how}"
    if more := sum(kind.more for kind in kinds):
        yield f"{which}: {more} of {len(kinds)} files have several pages or frames; only the first is read"
    if cut := sum(kind.cut for kind in kinds):
        yield f"{which}: {cut} RGB PNGs of 16 bits are read with 8 bits; save them as TIFF or .npy to keep 16"


def _is_deep(kind: Kind) -> bool:
    return kind.dtype not in (np.uint8, np.bool_)


def _largest(paths: Sequence[Path]) -> int | None:
    """Return the largest value of pictures; None unless all are whole numbers from 0 to 65535 and not all are 0."""

    def ends(path: Path) -> tuple[float, float]:
        data = contents(path)
        with alone(data):
            values = values_of(path, data)
        return (float(values.min()), float(values.max())) if values.dtype.kind in "ui" else (-1.0, -1.0)

    found = [pair for pair in _each(paths, ends) if pair is not None]
    top = max((most for _, most in found), default=0)
    return int(top) if 0 < top <= DEEP and all(least >= 0 for least, _ in found) else None


def _each(paths: Sequence[Path], look: Callable[[Path], ResultT]) -> list[ResultT | None]:
    """Return the result for each file; None for one that cannot be used, whose reason decoding will give."""

    def found(path: Path) -> ResultT | None:
        try:
            return look(path)
        except Rejected:
            return None

    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(found, paths))
