"""Finding the picture files of a folder: through links, but each folder once; and what is passed over, counted."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slimgen.files import STORE, is_own

SUFFIXES = frozenset(
    f".{ending}"
    for ending in "jpg jpeg jpe jfif png webp avif bmp tif tiff ppm pgm pnm pbm npy".split()  # noqa: SIM905 - a line
)
"""How the names of pictures end, in lower case. The content decides what they are; the name only finds the file."""
OUTSIDE = "image outside the folders of the layout"
ENDINGS = f"images end with {' '.join(sorted(SUFFIXES))}"


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, and what is not entered: hidden folders, closed ones, and links to those seen already.

    Links to folders are followed after the folders that really lie there, so that each is entered once and under its
    own name, and no loop is followed for ever; links to what lies around the folder are none of its own. What slimgen
    wrote into the folder, and MLflow's store, are not there at all.
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
                yield from (Path(place, name) for name in names if not name.startswith(STORE))
        waiting = links
    yield from (Path(error.filename) for error in closed)


def image_files(folder: Path) -> tuple[Path, ...]:
    """All picture files below a folder, hidden ones left out, in the order of their relative names."""
    found = (path for path in walk(folder) if _reason(path) is None)
    return tuple(path for _, path in sorted((path.relative_to(folder).as_posix(), path) for path in found))


def passed_over(folder: Path, used: Iterable[Path]) -> dict[str, int]:
    """How many files of a data set are not among those that are used, by the reason, the most frequent first."""
    taken = {place for path in used for place in (path, *path.parents)}
    reasons = Counter(_reason(path) or OUTSIDE for path in walk(folder) if path not in taken)
    return dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))


def counted(reasons: Mapping[str, int]) -> str:
    """The same as text: `8 files ending with .gif, 1 hidden file or folder`."""
    return ", ".join(f"{number} {reason if number == 1 else _plural(reason)}" for reason, number in reasons.items())


def _reason(path: Path) -> str | None:
    """Why a path is no picture of a data set, in the singular; None where it may be one."""
    if path.name.startswith("."):
        return "hidden file or folder"
    if path.is_dir():
        return "link to a folder seen already or around the set" if path.is_symlink() else "folder that cannot be read"
    if path.suffix.lower() not in SUFFIXES:
        return f"file ending with {path.suffix.lower()}" if path.suffix else "file without an ending"
    return None if path.is_file() else "name of a missing file or a device"


def _plural(reason: str) -> str:
    noun, _, rest = reason.partition(" ")
    return "hidden files or folders" if noun == "hidden" else f"{noun}s {rest}"
