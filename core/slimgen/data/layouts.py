"""Where the pairs of a data set lie: the conventional layouts, found by looking."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slimgen.data.images import SUFFIXES
from slimgen.errors import DataError, nearest

DIRECTIONS = ("AtoB", "BtoA")
SPLITS = ("train", "val", "test")
KNOWN = (
    "train/ test/ with side-by-side pairs (A left, B right)",
    "trainA/ trainB/ testA/ testB/ with partners of the same name",
    "A/train B/train A/test B/test with partners of the same name",
)


@dataclass(frozen=True)
class Side:
    """One image of a pair: a file, or one half of a file."""

    path: Path
    half: Literal["whole", "left", "right"] = "whole"


@dataclass(frozen=True)
class PairFiles:
    """The two images of a pair, not yet read. `name` is unique within a split."""

    name: str
    input: Side
    target: Side


@dataclass(frozen=True)
class Pairs:
    """What a folder holds: pairs per split in the order of their names, and the images without a partner."""

    layout: str
    direction: str
    splits: dict[str, tuple[PairFiles, ...]]
    lonely: tuple[Path, ...]


def find_pairs(folder: Path, direction: str) -> Pairs:
    """Find the pairs of a data set, whichever of the `KNOWN` layouts it has.

    Folders are searched to any depth; files that do not look like images, and hidden ones, are passed over. A
    validation split may be there as `val/`, `valA/` or `A/val`. Train and one of test and val are required.

    Args:
        folder: the data set.
        direction: `AtoB` or `BtoA`: which side is the input.

    Returns:
        The pairs of each split that is there.

    Raises:
        DataError: if the folder is missing or of no known layout, the direction is unknown, two images of one folder
            share a name, or a split holds no pair.
    """
    if direction not in DIRECTIONS:
        raise DataError("a direction is AtoB or BtoA", repr(direction), nearest(str(direction), DIRECTIONS))
    if not folder.is_dir():
        raise DataError(f"the data set {folder} is a folder", "a file" if folder.exists() else "nothing there")
    sides, layout = _look(folder)
    splits: dict[str, tuple[PairFiles, ...]] = {}
    lonely: list[Path] = []
    for split, where in sides.items():
        if len(where) == 1:
            pairs = _halves(where[0], direction)
        else:
            pairs, alone = _partners(where[0], where[1], direction)
            lonely += alone
        if not pairs:
            raise DataError(
                f"the split {split!r} of {folder} holds pairs",
                _alone(lonely) or "no image files",
                f"images end with {' '.join(sorted(SUFFIXES))}",
            )
        splits[split] = pairs
    return Pairs(layout, direction, splits, tuple(lonely))


def image_files(folder: Path) -> tuple[Path, ...]:
    """All image files below a folder, hidden ones left out, in the order of their relative names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    seen = ((path.relative_to(folder), path) for path in found)
    shown = [(at.as_posix(), path) for at, path in seen if not any(part.startswith(".") for part in at.parts)]
    return tuple(path for _, path in sorted(shown))


def _look(folder: Path) -> tuple[dict[str, tuple[Path, ...]], str]:
    """The folders of each split, one (side by side) or two (A and B), and the name of the layout."""
    candidates: dict[str, dict[str, tuple[Path, ...]]] = {
        "side by side": {split: (folder / split,) for split in SPLITS},
        "two folders": {split: (folder / f"{split}A", folder / f"{split}B") for split in SPLITS},
        "A and B": {split: (folder / "A" / split, folder / "B" / split) for split in SPLITS},
    }
    for layout, sides in candidates.items():
        there = {split: where for split, where in sides.items() if all(one.is_dir() for one in where)}
        if "train" not in there:
            continue
        if len(there) == 1:
            missing = " or ".join(" + ".join(str(one.relative_to(folder)) for one in sides[s]) for s in ("test", "val"))
            raise DataError(
                f"{folder} has images to test on beside those to train on", _listing(folder), f"add {missing}"
            )
        return there, layout
    raise DataError(f"{folder} has a known layout", _listing(folder), f"known: {'; '.join(KNOWN)}")


def _listing(folder: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return " ".join(names[:8]) + more if names else "an empty folder"


def _halves(folder: Path, direction: str) -> tuple[PairFiles, ...]:
    pairs = []
    for path in image_files(folder):
        a, b = Side(path, "left"), Side(path, "right")
        pairs.append(PairFiles(path.relative_to(folder).as_posix(), *((a, b) if direction == "AtoB" else (b, a))))
    return tuple(pairs)


def _partners(a: Path, b: Path, direction: str) -> tuple[tuple[PairFiles, ...], list[Path]]:
    left, right = _by_stem(a), _by_stem(b)
    pairs = []
    for stem in sorted(left.keys() & right.keys()):
        sides = Side(left[stem]), Side(right[stem])
        pairs.append(PairFiles(stem, *(sides if direction == "AtoB" else sides[::-1])))
    alone = [left.get(stem) or right[stem] for stem in sorted(left.keys() ^ right.keys())]
    return tuple(pairs), alone


def _by_stem(folder: Path) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for path in image_files(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in stems:
            raise DataError(
                "partners are matched by name, so a name is unique in its folder", f"{stems[stem]} and {path}"
            )
        stems[stem] = path
    return stems


def _alone(paths: Iterable[Path]) -> str:
    names = [str(path) for path in paths]
    return f"{len(names)} images without a partner, the first {names[0]}" if names else ""
