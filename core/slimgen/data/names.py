"""Names by which partners in two folders are matched: equal but for the suffix, in whichever form of Unicode."""

import unicodedata
from collections.abc import Sequence, Set
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from slimgen.data.walking import image_files
from slimgen.errors import DataError

RULE = "partners have equal names, but for a suffix such as .png"


class Named(NamedTuple):
    """A file with its relative name, without the suffix, as the folder has it."""

    name: str
    path: Path


def key_of(name: str) -> str:
    """What the names of partners have in common: an accent may be a letter of its own in one and not in the other."""
    return unicodedata.normalize("NFC", name)


def by_name(folder: Path, ending: str = "") -> dict[str, Named]:
    """The image files of a folder, at any depth, by the `key_of` the names that they share with their partners.

    Stems of files of one kind may have an ending of their own: if some have, others are passed over.

    Raises:
        DataError: two files share a name.
    """
    files = image_files(folder)
    named: dict[str, Named] = {}
    for path in [path for path in files if path.stem.endswith(ending)] or files:
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(ending)
        if (key := key_of(name)) in named:
            rule = "partners are matched by name, so a name is unique in its folder"
            raise DataError(rule, f"{named[key].path} and {path}")
        named[key] = Named(name, path)
    return named


def how_names_differ(these: Set[str], those: Set[str]) -> str | None:
    """A hint, where names without a partner in either folder may be meant to be equal; None where all have one."""
    if not these or not those:
        return None if these == those else RULE
    folded = {name.casefold() for name in these} & {name.casefold() for name in those}
    if folded:
        return f"{RULE}; {len(folded)} differ in upper and lower case only: rename them"
    ends = _ends(these), _ends(those)
    bare = {_bare(name, *ends[0]) for name in these} & {_bare(name, *ends[1]) for name in those}
    if bare - {""}:
        ways = zip(*ends, ("begin", "end"), strict=True)
        how = " and ".join(f"{verb} with {one!r} and {other!r}" for one, other, verb in ways if one != other)
        return f"{RULE}; {len(bare)} would be equal did they not {how}: rename them"
    return RULE


def _ends(names: Set[str]) -> tuple[str, str]:
    """How all names begin, and how they end."""
    start = _start(list(names))
    return start, _start([name[len(start) :][::-1] for name in names])[::-1]


def _start(names: Sequence[str]) -> str:
    """The first letters that all names share."""
    ends = zip(min(names), max(names), strict=False)  # what the first and the last in order share, all do
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], ends))


def _bare(name: str, start: str, end: str) -> str:
    return name[len(start) : len(name) - len(end)]
