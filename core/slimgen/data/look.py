"""A look at a data set before it is prepared: how it is laid out, how much there is, what cannot be used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slimgen.data.images import Rejected, contents, decode, quiet, read_image
from slimgen.data.label_maps import UNKNOWN, Classes, find_labels, read_instances
from slimgen.data.layouts import Side, find_pairs, find_sets
from slimgen.data.prepare_images import find_images


@dataclass(frozen=True)
class Look:
    """What is looked for.

    Attributes:
        size: pixels of a side that every image must have.
        direction: `AtoB` or `BtoA`.
        instances: whether label maps have maps of instances.
    """

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
    """Pairs.

    Raises:
        DataError: as `find_pairs`.
    """
    pairs = find_pairs(folder, look.direction)
    sides = (side for split in pairs.splits.values() for pair in split for side in (pair.input, pair.target))
    rejected = _rejected(folder, sides, look.size)
    return _looked(folder, pairs.layout, "pairs", _counts(pairs.splits), rejected, pairs.unmatched)


def look_at_sets(folder: Path, look: Look) -> Looked:
    """Two sets of images, of which an image needs the pixels of the size, not both sides.

    Raises:
        DataError: as `find_sets`.
    """
    sets = find_sets(folder, look.direction)
    members = [member for split in sets.splits.values() for member in split]
    rejected = _rejected(folder, (member.at for member in members), look.size, by_area=True)
    counts = {
        name: {which: sum(member.which == which for member in split) for which in ("input", "target")}
        for name, split in sets.splits.items()
    }
    numbers = ", ".join(f"{name} {one['input']} + {one['target']}" for name, one in counts.items())
    return Looked({"layout": sets.layout, "images": counts}, {"layout": sets.layout, "images": numbers}, rejected)


def look_at_images(folder: Path, look: Look) -> Looked:
    """Images that are to be made of noise.

    Raises:
        DataError: as `find_images`.
    """
    images = find_images(folder)
    files = (Side(image.path) for split in images.splits.values() for image in split)
    return _looked(folder, images.layout, "images", _counts(images.splits), _rejected(folder, files, look.size))


def look_at_labels(folder: Path, look: Look) -> Looked:
    """Label maps with their photographs; every file is read.

    Raises:
        DataError: as `find_labels`.
    """
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
    looked = _looked(folder, found.layout, "maps", _counts(found.splits), rejected, found.unmatched)
    facts = {"classes": highest + 1, "unknown": unknown}
    lines = {"classes": f"{highest + 1}{' and unknown' if unknown else ''}"}
    return Looked(looked.facts | facts, looked.lines | lines, rejected)


def _looked(
    folder: Path,
    layout: str,
    what: str,
    counts: Mapping[str, int],
    rejected: dict[str, str],
    unmatched: Sequence[Path] | None = None,
) -> Looked:
    facts: dict[str, object] = {"layout": layout, what: dict(counts)}
    lines = {"layout": layout, what: ", ".join(f"{name} {count}" for name, count in counts.items())}
    if unmatched is not None:
        names = [path.relative_to(folder).as_posix() for path in unmatched]
        facts["unmatched"] = names
        lines["unmatched"] = f"{len(names)}{': ' + ', '.join(names[:5]) if names else ''}"
    return Looked(facts, lines, rejected)


def _counts(splits: Mapping[str, Sequence[object]]) -> dict[str, int]:
    return {name: len(split) for name, split in splits.items()}


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
