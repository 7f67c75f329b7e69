"""Layouts of data sets with pairs or two sets, recognised by the names of their folders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, Literal, TypeVar

from slimgen.data.names import by_name, how_names_differ
from slimgen.data.walking import ENDINGS, counted, image_files, passed_over
from slimgen.errors import DataError, nearest

DIRECTIONS = ("AtoB", "BtoA")
SPLITS = ("train", "val", "test")
Half = Literal["whole", "left", "right"]
ItemT = TypeVar("ItemT")
KNOWN = (
    "train/ test/ with side-by-side pairs (A left, B right)",
    "trainA/ trainB/ testA/ testB/ with partners of the same name",
    "A/train B/train A/test B/test with partners of the same name",
    "train/A train/B test/A test/B with partners of the same name",
)
NONE = "no image files"
SIDE_BY_SIDE = "side by side"
KNOWN_SETS = (
    "trainA/ trainB/ testA/ testB/",
    "A/train B/train A/test B/test",
    "train/A train/B test/A test/B",
    KNOWN[0],
)


@dataclass(frozen=True)
class Side:
    """One image of a pair: a file, or half of a file."""

    path: Path
    half: Half = "whole"


@dataclass(frozen=True)
class PairFiles:
    """Two images of a pair, not yet read. `name` is unique within a split."""

    name: str
    input: Side
    target: Side


@dataclass(frozen=True)
class Files(Generic[ItemT]):
    """Contents of a data folder, not yet read.

    Attributes:
        layout: name of its layout.
        splits: pairs or images of each split.
        unmatched: images without a partner.
        passed: numbers of files passed over, by reason.
        hint: difference between names that may be meant to be equal.
        doubts: doubts about the layout.
    """

    layout: str
    splits: dict[str, tuple[ItemT, ...]]
    unmatched: tuple[Path, ...] = ()
    passed: Mapping[str, int] = field(default_factory=dict)
    hint: str | None = None
    doubts: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Notes for the user."""
        passed = [f"passed over: {counted(self.passed)}"] if self.passed else []
        alone = [f"{len(self.unmatched)} images without a partner: {self.hint}"] if self.unmatched and self.hint else []
        return [*self.doubts, *alone, *passed]


@dataclass(frozen=True)
class Member:
    """Image of one of two sets, not yet read; `name`, relative with suffix, is unique in its set and split."""

    which: Literal["input", "target"]
    name: str
    at: Side

    @property
    def stem(self) -> str:
        """Name without the suffix."""
        return PurePosixPath(self.name).with_suffix("").as_posix()


def find_pairs(folder: Path, direction: str, *, tested: bool = True) -> Files[PairFiles]:
    """Find the pairs of a data set in any of the `KNOWN` layouts.

    Folders are searched to any depth; hidden files and files without an image suffix are passed over. A validation
    split may be `val/`, `valA/` or `A/val`. Train is required and, if `tested`, test or val. Pairs are sorted by name.

    Raises:
        DataError: the folder is missing or of no known layout, the direction is unknown, two images of one folder share
            a name, or a split has no pairs.
    """
    sides, layout = _look(folder, direction, KNOWN, tested)
    splits: dict[str, tuple[PairFiles, ...]] = {}
    unmatched: list[Path] = []
    hint: str | None = None
    for split, where in sides.items():
        if len(where) == 1:
            files = ((path.relative_to(where[0]).as_posix(), path) for path in image_files(where[0]))
            found = [(name, Side(path, "left"), Side(path, "right")) for name, path in files]
        else:
            left, right = map(by_name, where)
            shared = sorted(left.keys() & right.keys(), key=lambda key: left[key].name)
            found = [(left[key].name, Side(left[key].path), Side(right[key].path)) for key in shared]
            alone = [left.get(key) or right[key] for key in left.keys() ^ right.keys()]
            unmatched += [one.path for one in sorted(alone, key=lambda one: one.name)]
            hint = hint or how_names_differ(left.keys() - right.keys(), right.keys() - left.keys())
        pairs = tuple(PairFiles(name, *((a, b) if direction == "AtoB" else (b, a))) for name, a, b in found)
        if not pairs:
            came = f"{len(unmatched)} images without a partner, the first {unmatched[0]}" if unmatched else NONE
            raise DataError(f"the split {split!r} of {folder} must have pairs", came, hint if unmatched else ENDINGS)
        splits[split] = pairs
    used = [side.path for pairs in splits.values() for pair in pairs for side in (pair.input, pair.target)]
    return Files(layout, splits, tuple(unmatched), passed_over(folder, [*used, *unmatched]), hint)


def find_sets(folder: Path, direction: str, *, tested: bool = True) -> Files[Member]:
    """Find the two sets of a data set without pairs in any of the `KNOWN_SETS` layouts.

    Folders are searched as for pairs. The halves of side-by-side pairs are two sets as well. A split lists the input
    set, then the target set, each sorted by stem; the two sets may differ in number.

    Raises:
        DataError: the folder is missing or of no known layout, the direction is unknown, or a set has no image in a
            split.
    """
    found, layout = _look(folder, direction, KNOWN_SETS, tested)
    splits: dict[str, tuple[Member, ...]] = {}
    for split, where in found.items():
        halves: tuple[Half, Half] = ("left", "right") if len(where) == 1 else ("whole", "whole")
        lies = dict(zip("AB", zip((where[0], where[-1]), halves, strict=True), strict=True))
        splits[split] = (*_members("input", *lies[direction[0]]), *_members("target", *lies[direction[-1]]))
    used = [member.at.path for members in splits.values() for member in members]
    return Files(layout, splits, passed=passed_over(folder, used))


def some_images(folder: Path) -> tuple[Path, ...]:
    """Return the image files of a folder; raise DataError if there are none."""
    if not (found := image_files(folder)):
        raise DataError(f"{folder} must contain images", NONE, ENDINGS)
    return found


def require_folder(folder: Path) -> None:
    """Raise DataError if the data set is no folder."""
    if folder.is_dir():
        return
    if folder.exists():
        raise DataError(f"the data set {folder} must be a folder", "a file", "check --data")
    raise DataError(f"no data set at {folder}: there is no such folder", None, "check --data")


def _look(folder: Path, direction: str, known: Iterable[str], tested: bool) -> tuple[dict[str, tuple[Path, ...]], str]:
    """Return the folders of each split, one (side by side) or two (A and B), and the name of the layout."""
    if direction not in DIRECTIONS:
        raise DataError("the direction must be AtoB or BtoA", repr(direction), nearest(str(direction), DIRECTIONS))
    require_folder(folder)
    candidates: dict[str, dict[str, tuple[Path, ...]]] = {
        "A and B in each split": {split: (folder / split / "A", folder / split / "B") for split in SPLITS},
        SIDE_BY_SIDE: {split: (folder / split,) for split in SPLITS},
        "two folders": {split: (folder / f"{split}A", folder / f"{split}B") for split in SPLITS},
        "A and B": {split: (folder / "A" / split, folder / "B" / split) for split in SPLITS},
    }
    for layout, sides in candidates.items():
        there = {split: where for split, where in sides.items() if all(one.is_dir() for one in where)}
        if "train" not in there:
            continue
        if len(there) == 1 and tested:
            missing = " or ".join(" + ".join(str(one.relative_to(folder)) for one in sides[s]) for s in ("test", "val"))
            hint = f"add {missing}, or set data.test to hold some out of train"
            raise DataError(f"{folder} must have test images", f"only {listing(folder)}", hint)
        return there, layout
    raise DataError(f"{folder} must have a known layout", listing(folder), f"known: {'; '.join(known)}")


def listing(folder: Path) -> str:
    """Return the first names in a folder as text, without hidden ones."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return " ".join(names[:8]) + more if names else "an empty folder"


def _members(which: Literal["input", "target"], folder: Path, half: Half) -> list[Member]:
    members = [Member(which, path.relative_to(folder).as_posix(), Side(path, half)) for path in some_images(folder)]
    return sorted(members, key=lambda member: (member.stem, member.name))
