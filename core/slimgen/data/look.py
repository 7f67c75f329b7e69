"""A look at a data set before it is prepared: how it is laid out, how much there is, what cannot be used."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgen.data.images import Rejected, contents, decode, quiet, read_image
from slimgen.data.label_maps import UNKNOWN, Classes, find_labels, read_instances
from slimgen.data.layouts import Files, Side, find_pairs, find_sets
from slimgen.data.prepare_images import find_images


@dataclass(frozen=True)
class Look:
    """What is looked for: images of so many pixels a side, in a direction; label maps with maps of instances."""

    size: int = 1
    direction: str = "AtoB"
    instances: bool = False


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
    pairs = find_pairs(folder, look.direction)
    sides = (side for split in pairs.splits.values() for pair in split for side in (pair.input, pair.target))
    return _with_unmatched(folder, pairs, _looked(pairs, "pairs", _rejected(folder, sides, look.size)))


def look_at_sets(folder: Path, look: Look) -> Looked:
    """Two sets of images, of which an image needs the pixels of the size, not both sides; raises as `find_sets`."""
    sets = find_sets(folder, look.direction)
    members = (member.at for split in sets.splits.values() for member in split)
    rejected = _rejected(folder, members, look.size, by_area=True)
    counts = {
        name: {which: sum(member.which == which for member in split) for which in ("input", "target")}
        for name, split in sets.splits.items()
    }
    numbers = ", ".join(f"{name} {one['input']} + {one['target']}" for name, one in counts.items())
    return Looked({"layout": sets.layout, "images": counts}, {"layout": sets.layout, "images": numbers}, rejected)


def look_at_images(folder: Path, look: Look) -> Looked:
    """Images that are to be made of noise; raises DataError as `find_images` does."""
    images = find_images(folder)
    files = (Side(image.path) for split in images.splits.values() for image in split)
    return _looked(images, "images", _rejected(folder, files, look.size))


def look_at_labels(folder: Path, look: Look) -> Looked:
    """Label maps with their photographs, all of which are read; raises DataError as `find_labels` does."""
    found = find_labels(folder, look.instances)
    every = Classes(UNKNOWN, unknown=True)
    highest, unknown, rejected = -1, False, {}
    with quiet():
        for one in (one for split in found.splits.values() for one in split):
            try:
                ids = every.read(one.labels, contents(one.labels))
                _require_size(one.labels, ids.shape, look.size)
                decode(one.image, contents(one.image))
                if one.instances is not None:
                    read_instances(one.instances, contents(one.instances))
            except Rejected as fault:
                rejected[fault.path.relative_to(folder).as_posix()] = fault.reason
                continue
            seen = {int(number) for number in np.unique(ids)}
            unknown |= UNKNOWN in seen
            highest = max(seen - {UNKNOWN} | {highest})
    looked = _with_unmatched(folder, found, _looked(found, "maps", rejected))
    looked.facts.update(classes=highest + 1, unknown=unknown)
    looked.lines["classes"] = f"{highest + 1}{' and unknown' if unknown else ''}"
    return looked


def _looked(files: Files[Any], what: str, rejected: dict[str, str]) -> Looked:
    """The layout, and how many there are in each split."""
    counts = {name: len(split) for name, split in files.splits.items()}
    line = ", ".join(f"{name} {count}" for name, count in counts.items())
    return Looked({"layout": files.layout, what: counts}, {"layout": files.layout, what: line}, rejected)


def _with_unmatched(folder: Path, files: Files[Any], looked: Looked) -> Looked:
    names = [path.relative_to(folder).as_posix() for path in files.unmatched]
    looked.facts["unmatched"] = names
    looked.lines["unmatched"] = f"{len(names)}{': ' + ', '.join(names[:5]) if names else ''}"
    return looked


def _rejected(folder: Path, sides: Iterable[Side], size: int, by_area: bool = False) -> dict[str, str]:
    """The files that cannot be used, and why."""
    rejected: dict[str, str] = {}
    for path, halves in {side.path: side.half != "whole" for side in sides}.items():
        try:
            height, width = read_image(path).shape[:2]
            _require_size(path, (height, width // (1 + halves)), size, by_area)
        except Rejected as fault:
            rejected[path.relative_to(folder).as_posix()] = fault.reason
    return rejected


def _require_size(path: Path, shape: tuple[int, ...], size: int, by_area: bool = False) -> None:
    height, width = shape
    if height * width < size**2 if by_area else min(height, width) < size:
        less = f"fewer pixels than {size} x {size}" if by_area else f"smaller than {size} pixels"
        raise Rejected(path, f"is {width} x {height}, {less}")
