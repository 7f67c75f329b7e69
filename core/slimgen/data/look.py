"""A look at a data set before it is prepared: how it is laid out, how much there is, what cannot be used."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimgen.data.images import Rejected, contents, decode, quiet, read_image
from slimgen.data.label_maps import UNKNOWN, Classes, find_labels, read_instances
from slimgen.data.layouts import Files, Side, find_pairs, find_sets
from slimgen.data.prepare_images import customary, find_images
from slimgen.data.shapes import Frame
from slimgen.data.walking import counted
from slimgen.size import Fit, Size, alike


@dataclass(frozen=True)
class Look:
    """What is looked for: images of a size, in a direction; label maps with maps of instances.

    Attributes:
        size: of which images are made; None asks nothing of them.
        fit: what becomes of those of another aspect.
    """

    size: Size | None = None
    direction: str = "AtoB"
    instances: bool = False
    fit: Fit | None = None

    @property
    def frame(self) -> Frame | None:
        """What images are made to be."""
        return None if self.size is None else Frame(self.size, self.size, self.fit)


@dataclass(frozen=True)
class Looked:
    """What was found.

    Attributes:
        facts: for programs: the layout, counts by split, files without a partner.
        lines: the same for people: name to text.
        rejected: why files cannot be used, by their paths in the folder.
    """

    facts: dict[str, object]
    lines: dict[str, str]
    rejected: dict[str, str]


def look_at_pairs(folder: Path, look: Look) -> Looked:
    """Pairs; raises DataError as `find_pairs` does."""
    pairs, shapes = find_pairs(folder, look.direction), _Shapes(look.frame)
    sides = (side for split in pairs.splits.values() for pair in split for side in (pair.input, pair.target))
    rejected = _rejected(folder, sides, shapes)
    return _with_unmatched(folder, pairs, _looked(pairs, "pairs", rejected, shapes))


def look_at_sets(folder: Path, look: Look) -> Looked:
    """Two sets of images, of which an image needs the pixels of the size, not both sides; raises as `find_sets`."""
    sets, shapes = find_sets(folder, look.direction), _Shapes(look.frame, by_area=True)
    members = (member.at for split in sets.splits.values() for member in split)
    rejected = _rejected(folder, members, shapes)
    counts = {
        name: {which: sum(member.which == which for member in split) for which in ("input", "target")}
        for name, split in sets.splits.items()
    }
    numbers = ", ".join(f"{name} {one['input']} + {one['target']}" for name, one in counts.items())
    facts, lines = {"layout": sets.layout, "images": counts}, {"layout": sets.layout, "images": numbers}
    return _with_passed(sets, Looked({**facts, **shapes.facts}, {**lines, **shapes.lines}, rejected))


def look_at_images(folder: Path, look: Look) -> Looked:
    """Images that are to be made of noise; raises DataError as `find_images` does."""
    images, shapes = find_images(folder), _Shapes(None if look.frame is None else customary(look.frame))
    files = (Side(image.path) for split in images.splits.values() for image in split)
    return _looked(images, "images", _rejected(folder, files, shapes), shapes)


def look_at_labels(folder: Path, look: Look) -> Looked:
    """Label maps with their photographs, all of which are read; raises DataError as `find_labels` does."""
    found = find_labels(folder, look.instances)
    every = Classes(UNKNOWN, unknown=True)
    highest, unknown, rejected, shapes = -1, False, {}, _Shapes(look.frame)
    with quiet():
        for one in (one for split in found.splits.values() for one in split):
            try:
                ids = every.read(one.labels, contents(one.labels))
                shapes.see(one.labels, ids)
                decode(one.image, contents(one.image))
                if one.instances is not None:
                    read_instances(one.instances, contents(one.instances))
            except Rejected as fault:
                rejected[fault.path.relative_to(folder).as_posix()] = fault.reason
                continue
            seen = {int(number) for number in np.unique(ids)}
            unknown |= UNKNOWN in seen
            highest = max(seen - {UNKNOWN} | {highest})
    looked = _with_unmatched(folder, found, _looked(found, "maps", rejected, shapes))
    looked.facts.update(classes=highest + 1, unknown=unknown)
    looked.lines["classes"] = f"{highest + 1}{' and unknown' if unknown else ''}"
    return looked


@dataclass
class _Shapes:
    """The shapes of the images that can be used, and what making them of one size does to them."""

    frame: Frame | None
    by_area: bool = False
    seen: set[Size] = field(default_factory=set)
    count: int = 0
    changed: list[float] = field(default_factory=list)

    def see(self, path: Path, image: NDArray[np.uint8]) -> None:
        """Takes note of an image (H, W, channels), or a map (H, W); raises Rejected if it cannot be used."""
        shape = Size(*image.shape[:2])
        if self.frame is not None:
            fitted = Size(*self.frame.fitted(path, image, by_area=self.by_area).shape[:2])
            if not alike(shape, self.frame.size):
                self.changed.append(_change(shape, fitted, self.frame))
        self.seen.add(shape)
        self.count += 1

    @property
    def facts(self) -> dict[str, object]:
        """For programs: the shapes, and how many images are changed."""
        shapes = [list(shape) for shape in sorted(self.seen)]
        fit = {} if self.frame is None else {"fit": self.frame.fit, "changed": len(self.changed)}
        return {"shapes": shapes, **fit}

    @property
    def lines(self) -> dict[str, str]:
        """For people."""
        if not self.seen:
            return {}
        (high, wide), (highest, widest) = (Size(*map(end, zip(*self.seen, strict=True))) for end in (min, max))
        span = f"{_span(high, highest)} high, {_span(wide, widest)} wide"
        if self.frame is None:
            return {"pixels": span}
        what = f"all are resized to {self.frame.size}"
        if self.changed and self.frame.fit is not None:
            worst = _WORDS[self.frame.fit].format(max(self.changed))
            what = f"resized to {self.frame.size}; {len(self.changed)} of {self.count} are of another aspect: {worst}"
        return {"pixels": span, "fit": what}


_WORDS = {
    "squash": "squashed, so that things become up to {:.2f} times as wide or as high as they were",
    "crop": "cropped, which leaves out up to {:.0%} of a picture",
    "pad": "padded with their edges, which make up to {:.0%} of a picture",
}


def _change(shape: Size, fitted: Size, frame: Frame) -> float:
    """How much of an image changes: by which factor its aspect, or which share of it is left out or added."""
    if frame.fit == "squash":
        times = shape.height * frame.size.width / (shape.width * frame.size.height)
        return max(times, 1 / times)
    pixels, made = math.prod(shape), math.prod(fitted)
    return 1 - min(pixels, made) / max(pixels, made)


def _span(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _looked(files: Files[Any], what: str, rejected: dict[str, str], shapes: _Shapes) -> Looked:
    """The layout, how many there are in each split, and their shapes."""
    counts = {name: len(split) for name, split in files.splits.items()}
    line = ", ".join(f"{name} {count}" for name, count in counts.items())
    facts, lines = {"layout": files.layout, what: counts}, {"layout": files.layout, what: line}
    return _with_passed(files, Looked({**facts, **shapes.facts}, {**lines, **shapes.lines}, rejected))


def _with_passed(files: Files[Any], looked: Looked) -> Looked:
    """With the files that were passed over, if any were."""
    if files.passed:
        looked.facts["passed over"] = dict(files.passed)
        looked.lines["passed over"] = counted(files.passed)
    return looked


def _with_unmatched(folder: Path, files: Files[Any], looked: Looked) -> Looked:
    names = [path.relative_to(folder).as_posix() for path in files.unmatched]
    looked.facts["unmatched"] = names
    looked.lines["unmatched"] = f"{len(names)}{': ' + ', '.join(names[:5]) if names else ''}"
    if files.hint:
        looked.facts["hint"] = files.hint
        looked.lines["unmatched"] += f" ({files.hint})"
    return looked


def _rejected(folder: Path, sides: Iterable[Side], shapes: _Shapes) -> dict[str, str]:
    """The files that cannot be used, and why; takes note of the shapes of the others."""
    rejected: dict[str, str] = {}
    for path, halves in {side.path: side.half != "whole" for side in sides}.items():
        try:
            image = read_image(path)
            shapes.see(path, image[:, : image.shape[1] // (1 + halves)])
        except Rejected as fault:
            rejected[path.relative_to(folder).as_posix()] = fault.reason
    return rejected
