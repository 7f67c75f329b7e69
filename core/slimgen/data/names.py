"""Names by which partners in two folders are matched: equal without the suffix, in any Unicode form."""

import unicodedata
from collections.abc import Sequence, Set
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from slimgen.data.walking import image_files
from slimgen.errors import DataError

RULE = "partners must have equal names, except for the suffix such as .png"


class Named(NamedTuple):
    """File with its relative name, without the suffix, as spelt in the folder."""

    name: str
    path: Path


def key_of(name: str) -> str:
    """Return the key of a name, equal for partners: in NFC, since accents may be separate characters in one of them."""
    return unicodedata.normalize("NFC", name)


def by_name(folder: Path, ending: str = "") -> dict[str, Named]:
    """Return the image files of a folder, at any depth, by the `key_of` their names.

    Stems of one kind of files may share an ending, which is no part of the name; if some files have it, the others are
    passed over.

    Raises:
        DataError: two files have the same name.
    """
    files = image_files(folder)
    named: dict[str, Named] = {}
    for path in [path for path in files if path.stem.endswith(ending)] or files:
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(ending)
        if (key := key_of(name)) in named:
            rule = "names must be unique in a folder, since partners are matched by name"
            raise DataError(rule, f"{named[key].path} and {path}", "rename one of them")
        named[key] = Named(name, path)
    return named


def how_names_differ(these: Set[str], those: Set[str]) -> str | None:
    """Return a hint if names without a partner may be meant to be equal; None if all have one."""
    if not these or not those:
        return None if these == those else RULE
    folded = {name.casefold() for name in these} & {name.casefold() for name in those}
    if folded:
        return f"{RULE}; {len(folded)} differ only in upper and lower case: rename them"
    ends = _ends(these), _ends(those)
    bare = {_bare(name, *ends[0]) for name in these} & {_bare(name, *ends[1]) for name in those}
    if bare - {""}:
        ways = zip(*ends, ("beginning", "ending"), strict=True)
        how = " and the ".join(f"{part} ({one!r} and {other!r})" for one, other, part in ways if one != other)
        return f"{RULE}; {len(bare)} would be equal without the {how}: rename them"
    return RULE


def _ends(names: Set[str]) -> tuple[str, str]:
    """Return the common beginning and the common ending of all names."""
    start = _start(list(names))
    return start, _start([name[len(start) :][::-1] for name in names])[::-1]


def _start(names: Sequence[str]) -> str:
    """Return the common beginning of all names."""
    ends = zip(min(names), max(names), strict=False)  # the first and the last in order share only what all share
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], ends))


def _bare(name: str, start: str, end: str) -> str:
    return name[len(start) : len(name) - len(end)]
