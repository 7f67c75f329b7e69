"""Layouts of data sets for upscaling: pictures in high resolution, alone or beside the same ones made smaller."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slimgen.data.layouts import NONE, SPLITS, Files, listing, require_folder
from slimgen.data.names import by_name, how_names_differ, key_of
from slimgen.data.walking import ENDINGS, image_files, passed_over
from slimgen.errors import DataError

KNOWN = "train/ and test/, HR/ beside LRx4/, DIV2K_train_HR/ beside DIV2K_train_LR_bicubic/X4/, or one folder"
_SMALL = re.compile(r"(?:^|_)LR(?:$|_|x\d)", re.IGNORECASE)
_TESTED = {"valid": "val", "val": "val", "test": "test"}


@dataclass(frozen=True)
class ScaledFiles:
    """Picture and, if the data set has it, the same picture made smaller, not yet read.

    Attributes:
        name: name of the picture, relative with its suffix and unique within its split.
        high: file in high resolution.
        low: file made smaller; None where it has to be made.
        group: named set of test images that it belongs to; empty for none.
        split: split that it was divided into.
    """

    name: str
    high: Path
    low: Path | None = None
    group: str = ""
    split: str = "train"


@dataclass
class _Found:
    """Pictures found so far, by split."""

    splits: dict[str, list[ScaledFiles]] = field(default_factory=dict)
    unmatched: list[Path] = field(default_factory=list)
    hint: str | None = None


def find_scaled(folder: Path, scale: int, *, trained: bool = True) -> Files[ScaledFiles]:
    """Find the pictures of a data set for upscaling, and those made smaller by the scale where it has them.

    Pictures lie in `train/`, `val/` and `test/`, or without these folders are all for training. Every folder of
    pictures may be searched to any depth. A folder in `test/` is a test set of its own, under its own name. Pictures
    made smaller are found where they are published: in `LRx4/` or `LR_bicubic/X4/` beside `HR/`, and in
    `NAME_LR_bicubic/X4/` beside `NAME_HR/`, such as `DIV2K_train_HR/`, with the same names or with `x4` after them.
    `NAME_valid_HR/` is a validation split. Where there are none of this scale, they are to be made.

    Without `trained`, only test images are wanted: those in `test/`, or all.

    Raises:
        DataError: the folder is missing, or has no pictures, or none to train on.
    """
    require_folder(folder)
    there = [split for split in SPLITS if (folder / split).is_dir()]
    if not trained:
        place = folder / "test" if "test" in there else folder
        found = _Found({"test": []})
        _add(found, place, image_files(place), scale, tested=True)
    else:
        found = _Found()
        inside = [(split, folder / split) for split in there]
        for split, place in inside:
            found.splits[split] = []
            _add(found, place, image_files(place), scale, split=split, tested=split == "test")
        if "train" not in there:
            apart = [place for _, place in inside]
            outside = [path for path in image_files(folder) if not any(map(path.is_relative_to, apart))]
            _add(found, folder, outside, scale)
    if not found.splits.get("train" if trained else "test"):
        if found.unmatched:
            came = f"{len(found.unmatched)} pictures without a partner, the first {found.unmatched[0]}"
            raise DataError(f"the pictures in HR and LR folders of {folder} must have partners", came, found.hint)
        came = listing(folder) if there or trained else NONE
        raise DataError(
            f"{folder} must have pictures to {'train' if trained else 'test'} on", came, f"{KNOWN}; {ENDINGS}"
        )
    splits = {name: tuple(sorted(found.splits[name], key=_order)) for name in SPLITS if found.splits.get(name)}
    every = [one for split in splits.values() for one in split]
    used = [path for one in every for path in (one.high, one.low) if path is not None]
    small = _small(folder, used)
    doubts = [f"{small} pictures in LR folders are not of scale {scale} and are left out"] if small else []
    layout = f"{' and '.join(splits) if there else 'one folder'}, {_kinds(every, scale)}"
    passed = passed_over(folder, [*used, *found.unmatched])
    return Files(layout, splits, tuple(found.unmatched), passed, found.hint, tuple(doubts))


def groups_of(files: Iterable[ScaledFiles]) -> tuple[str, ...]:
    """Return the names of test sets in order, if there is more than one; else none."""
    names = tuple(dict.fromkeys(one.group for one in files))
    return names if len(names) > 1 else ()


def _order(one: ScaledFiles) -> tuple[str, str]:
    return one.group, one.name


def _add(
    found: _Found, place: Path, files: Iterable[Path], scale: int, *, split: str | None = None, tested: bool = False
) -> None:
    """Add the pictures of a folder: to the split, or if that is None to the one that their folder's name says."""
    high: dict[Path, list[Path]] = {}
    for path in files:
        inside = path.relative_to(place).parts[:-1]
        if any(_SMALL.search(part) for part in inside):
            continue
        number = next((number for number, part in enumerate(inside) if _is_high(part)), None)
        home = place.joinpath(*inside[: number + 1]) if number is not None else place
        high.setdefault(home, []).append(path)
    for home, paths in high.items():
        low = None if home == place else _low_of(home, scale)
        if home == place:
            pairs: list[tuple[Path, Path | None]] = [(path, None) for path in paths]
        elif low is None:
            pairs = [(path, None) for path in paths]
        else:
            pairs = _matched(found, home, low, scale)
        named = split or ("test" if tested else _split_of(home.name))
        for path, small in pairs:
            parts = path.relative_to(place).parts[:-1]
            group = parts[0] if tested and parts and not _is_high(parts[0]) else ""
            name = path.relative_to(place).as_posix()
            found.splits.setdefault(named, []).append(ScaledFiles(name, path, small, group, named))


def _matched(found: _Found, home: Path, low: Path, scale: int) -> list[tuple[Path, Path | None]]:
    """Return the pictures of a folder with their partners; others are unmatched."""
    large, small = by_name(home), by_name(low, f"x{scale}")
    shared = large.keys() & small.keys()
    alone = [one.path for named in (large, small) for key, one in named.items() if key not in shared]
    found.unmatched += sorted(alone)
    found.hint = found.hint or how_names_differ(large.keys() - small.keys(), small.keys() - large.keys())
    return [(large[key].path, small[key].path) for key in shared]


def _is_high(name: str) -> bool:
    return name.upper() == "HR" or name.upper().endswith("_HR")


def _low_of(home: Path, scale: int) -> Path | None:
    """Return the folder with the pictures of a folder `HR` or `NAME_HR` made smaller by a scale, if there is one."""
    stem = home.name[:-2]  # empty, or `NAME_`
    names = [f"{stem}LRx{scale}", *(f"{stem}LR{kind}/{x}{scale}" for kind in ("_bicubic", "") for x in "Xx")]
    return next((place for name in names if (place := home.parent / name).is_dir()), None)


def _split_of(name: str) -> str:
    """Return the split of pictures in a published folder such as `DIV2K_valid_HR`; otherwise train."""
    return next((split for word in key_of(name).lower().split("_") if (split := _TESTED.get(word))), "train")


def _small(folder: Path, used: Iterable[Path]) -> int:
    """Return the number of unused pictures that lie in a folder of pictures made smaller."""
    rest = set(image_files(folder)).difference(used)
    return sum(any(_SMALL.search(part) for part in path.relative_to(folder).parts[:-1]) for path in rest)


def _kinds(files: Iterable[ScaledFiles], scale: int) -> str:
    """Return in words where the small pictures come from."""
    kinds: Mapping[bool, str] = {True: f"HR and LRx{scale}", False: "HR alone"}
    return " and ".join(kinds[given] for given in sorted({one.low is not None for one in files}, reverse=True))
