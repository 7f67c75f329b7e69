"""What the pictures of a data set become, told by themselves: of how many channels, and which values are black."""

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
"""The values that become black and white."""
FULL = 65280
"""From this value on, 16 bits are in use to their end: it becomes the highest level."""
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Forms:
    """The forms of the sides of a data set that are pictures, and what should be told of them."""

    sides: Mapping[str, Form] = field(default_factory=lambda: {"input": RGB, "target": RGB})
    notes: tuple[str, ...] = ()

    @property
    def ranges(self) -> dict[str, Range] | None:
        """By side, the values that became 0 and 255, where those are not the ends of the bits that files have."""
        return {which: (form.low, form.high) for which, form in self.sides.items() if form.high is not None} or None


def forms_of(sides: Mapping[str, Sequence[Path]], given: Range | None, *, joint: bool = False) -> Forms:
    """The forms of pictures by side, from the headers of all files; of more than 8 bits, from their values too.

    A side has the channels that most of its pictures have; grey ones among RGB ones count as RGB. Where the forms are
    `joint`, both sides have the same. Values of more than 8 bits are mapped from the range that is `given`, or from 0
    to the largest value of the side.

    Raises:
        DataError: a range is given, and no picture has more than 8 bits.
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
                    f"{which}: pictures of 16 bits hold values up to {top:,} ({top.bit_length()} bits), which becomes "
                    "white; set data.range to map them otherwise"
                )
    if given is not None and together and not any(map(_is_deep, together)):
        raise DataError("data.range is for pictures of more than 8 bits", "pictures of 8 bits alone", "leave it out")
    return Forms(forms, tuple(dict.fromkeys(notes)))


def _channels(kinds: Sequence[Kind]) -> int:
    counts = Counter(kind.channels for kind in kinds)
    colour = 3 if counts[3] or not counts[1] else 1
    others = {channels: count for channels, count in counts.items() if channels not in (1, 3)}
    most = max(others, key=lambda channels: (others[channels], -channels), default=colour)
    return most if others.get(most, 0) > counts[1] + counts[3] else colour


def _mixed(which: str, channels: int, kinds: Sequence[Kind]) -> Iterator[str]:
    """What becomes of pictures that are not as the others are."""
    grey = sum(kind.channels == 1 for kind in kinds)
    if channels == 3 and grey > 0:
        others = "the other side's" if grey == len(kinds) else "others"
        how = f"grey and count as RGB of three equal channels, as {others} are"
        yield f"{which}: {grey} of {len(kinds)} pictures are {how}"
    if more := sum(kind.more for kind in kinds):
        yield f"{which}: {more} of {len(kinds)} files have several pages or frames, of which the first is read"
    if cut := sum(kind.cut for kind in kinds):
        yield f"{which}: {cut} RGB PNGs of 16 bits are read with 8; as TIFF or .npy they would keep more"


def _is_deep(kind: Kind) -> bool:
    return kind.dtype not in (np.uint8, np.bool_)


def _largest(paths: Sequence[Path]) -> int | None:
    """The largest value of pictures; None where those are no whole numbers from 0 to 65535, or all of them are 0."""

    def ends(path: Path) -> tuple[float, float]:
        data = contents(path)
        with alone(data):
            values = values_of(path, data)
        return (float(values.min()), float(values.max())) if values.dtype.kind in "ui" else (-1.0, -1.0)

    found = [pair for pair in _each(paths, ends) if pair is not None]
    top = max((most for _, most in found), default=0)
    return int(top) if 0 < top <= DEEP and all(least >= 0 for least, _ in found) else None


def _each(paths: Sequence[Path], look: Callable[[Path], ResultT]) -> list[ResultT | None]:
    """What is found in each file; None where it cannot be used, which is said when it is decoded."""

    def found(path: Path) -> ResultT | None:
        try:
            return look(path)
        except Rejected:
            return None

    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(found, paths))
