"""Search for the picture files of a folder, through links but each folder once, and counts of files passed over."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slimgen.files import OWN, STORE, is_own

SUFFIXES = frozenset(
    f".{ending}"
    for ending in "jpg jpeg jpe jfif png webp avif bmp tif tiff ppm pgm pnm pbm npy".split()  # noqa: SIM905 - a line
)
"""Suffixes of picture files in lower case. They only find the files; the content decides the format."""
OUTSIDE = "image outside the folders of the layout"
ENDINGS = f"names of images must end with {' '.join(sorted(SUFFIXES))}"


def walk(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, and the folders that are not entered.

    Not entered are hidden and unreadable folders, and links to folders already seen or above the folder. Links are
    followed after real folders, so each folder is entered once, under its own name, and loops end. Folders that
    slimgen wrote, its mark in a folder that it drew, and MLflow's store are left out entirely.
    """
    seen, waiting, around, closed = set[str](), [folder], os.path.realpath(folder), list[OSError]()
    while waiting:
        links: list[Path] = []
        for top in waiting:
            real = os.path.realpath(top)
            if real in seen or around.startswith(real.rstrip(os.sep) + os.sep):
                yield top
                continue
            for place, inside, names in os.walk(top, onerror=closed.append):
                if (here := os.path.realpath(place)) in seen:
                    inside.clear()
                    continue
                seen.add(here)
                names += [one for one in inside if one.startswith(".")]
                inside[:] = sorted(one for one in inside if not (one.startswith(".") or is_own(Path(place, one))))
                links += [Path(place, one) for one in inside if os.path.islink(os.path.join(place, one))]
                yield from (Path(place, name) for name in names if name != OWN and not name.startswith(STORE))
        waiting = links
    yield from (Path(error.filename) for error in closed)


def image_files(folder: Path) -> tuple[Path, ...]:
    """Return all picture files below a folder except hidden ones, sorted by relative name."""
    found = (path for path in walk(folder) if _reason(path) is None)
    return tuple(path for _, path in sorted((path.relative_to(folder).as_posix(), path) for path in found))


def passed_over(folder: Path, used: Iterable[Path]) -> dict[str, int]:
    """Count the unused files of a data set by reason, the most frequent first."""
    taken = {place for path in used for place in (path, *path.parents)}
    reasons = Counter(_reason(path) or OUTSIDE for path in walk(folder) if path not in taken)
    return dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))


def counted(reasons: Mapping[str, int]) -> str:
    """Return counts as text: `8 files ending with .gif, 1 hidden file or folder`."""
    return ", ".join(f"{number} {reason if number == 1 else _plural(reason)}" for reason, number in reasons.items())


def _reason(path: Path) -> str | None:
    """Return the reason, in the singular, why a path is no picture of the data set; None if it may be one."""
    if path.name.startswith("."):
        return "hidden file or folder"
    if path.is_dir():
        return "link to a folder already seen or above the set" if path.is_symlink() else "folder that cannot be read"
    if path.suffix.lower() not in SUFFIXES:
        return f"file ending with {path.suffix.lower()}" if path.suffix else "file without an ending"
    return None if path.is_file() else "name of a missing file or a device"


def _plural(reason: str) -> str:
    noun, _, rest = reason.partition(" ")
    return "hidden files or folders" if noun == "hidden" else f"{noun}s {rest}"
