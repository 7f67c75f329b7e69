"""Label maps from outside: which class every pixel is of, and where one instance ends and the next begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimgen.data.images import Rejected, opened
from slimgen.errors import DataError

UNKNOWN = 255
"""The id of pixels whose class nobody knows."""
EXACT = ("PNG", "BMP", "TIFF", "PPM")
"""Formats that keep every number as it is."""
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Classes:
    """What the numbers of a label map mean.

    Attributes:
        count: ids are below it.
        unknown: whether pixels of the id 255 are of a class of their own, after the others.
        palette: the colour of each class in RGB label maps; without it, label maps hold the ids themselves.

    Raises:
        DataError: more classes than 8 bits hold, or a palette of another length or with a colour twice.
    """

    count: int
    unknown: bool = False
    palette: Sequence[Colour] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.count <= UNKNOWN:
            raise DataError(f"label maps have 1 to {UNKNOWN} classes", self.count)
        if self.palette is not None and not self.count == len(self.palette) == len(set(self.palette)):
            colours = f"{len(set(self.palette))} different colours for {self.count} classes"
            raise DataError("a palette has a colour of its own for each class", colours)

    @property
    def channels(self) -> int:
        """How many classes there are, the unknown one included."""
        return self.count + self.unknown

    def read(self, path: Path, data: bytes) -> NDArray[np.uint8]:
        """The class of every pixel, uint8 (height, width), below `channels`. Call it inside `quiet`.

        Palette and grey images hold ids; an RGB image holds colours of the palette.

        Args:
            path: named in errors only.
            data: the file's content.

        Raises:
            Rejected: if it is no image, of a format that changes numbers, or has a pixel of no class.
        """
        with opened(path, data) as image:
            ids = self._ids(path, image)
        unknown = ids == UNKNOWN
        if (ids[~unknown] >= self.count).any():
            worst = int(ids[~unknown].max())
            hint = f"set data.classes to {worst + 1} or more, if that is right"
            raise Rejected(path, f"holds the id {worst}, where classes are 0 to {self.count - 1}", hint)
        if unknown.any():
            if not self.unknown:
                hint = "set data.unknown to give them a class of their own"
                raise Rejected(path, f"has {unknown.mean():.1%} pixels of the id {UNKNOWN}, unknown", hint)
            ids = np.where(unknown, np.uint8(self.count), ids)
        return ids

    def _ids(self, path: Path, image: Image.Image) -> NDArray[np.uint8]:
        if image.format not in EXACT:
            raise Rejected(path, f"is a {image.format}, which need not keep ids as they are", "save it as PNG")
        if image.mode in ("L", "P"):
            return np.array(image, np.uint8)
        if image.mode.startswith("I"):
            numbers = np.asarray(image)
            if numbers.min() < 0 or numbers.max() > UNKNOWN:
                raise Rejected(path, f"holds ids from {numbers.min()} to {numbers.max()}, more than 8 bits")
            return numbers.astype(np.uint8)
        if image.mode not in ("RGB", "RGBA"):
            raise Rejected(path, f"is an image of the mode {image.mode}, which holds no ids", "save it with 8 bits")
        if self.palette is None:
            raise Rejected(path, "is RGB, where label maps hold ids", "set data.palette to the colours of the classes")
        return self._of_colours(path, np.asarray(image.convert("RGB")))

    def _of_colours(self, path: Path, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self.palette is not None
        known = _code(np.array(self.palette, np.uint8))
        order = np.argsort(known)
        codes = _code(colours)
        places = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
        ids = order[places].astype(np.uint8)
        strange = known[ids] != codes
        if strange.any() and not self.unknown:
            first = colours[strange][0].tolist()
            raise Rejected(path, f"has {strange.mean():.1%} pixels of no colour of the palette, such as {first}")
        return np.where(strange, np.uint8(UNKNOWN), ids)


def read_instances(path: Path, data: bytes) -> NDArray[np.uint32]:
    """Which instance every pixel is of, uint32 (height, width): numbers of up to 16 bits, or colours.

    Call it inside `quiet`.

    Raises:
        Rejected: if it is no image, or of a format that changes numbers.
    """
    with opened(path, data) as image:
        if image.format not in EXACT:
            raise Rejected(path, f"is a {image.format}, which need not keep instances apart", "save it as PNG")
        if image.mode in ("L", "P") or image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint32)
        return _code(np.asarray(image.convert("RGB")))


def edges(instances: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """255 where a pixel's upper, lower, left or right neighbour is of another instance (Wang et al. 2018, 3.3), else 0.

    Args:
        instances: (height, width).
    """
    found = np.zeros(instances.shape, np.uint8)
    across = instances[:, 1:] != instances[:, :-1]
    down = instances[1:] != instances[:-1]
    sides = ((found[:, 1:], across), (found[:, :-1], across), (found[1:], down), (found[:-1], down))
    for part, differs in sides:
        part[differs] = 255
    return found


def _code(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Colours (..., 3) as one number each."""
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    code: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return code
