"""Unpack archives from outside: nothing leaves the folder, nothing but files and folders is made."""

import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from slimgen.errors import DataError, SlimgenError
from slimgen.shortage import free, full, shortage

CHUNK = 1 << 20
#: How many times its own bytes an archive may unpack to, and how many are harmless in any case: pictures hardly
#: compress, while a bomb's zeros do a thousandfold.
GROWTH, HARMLESS = 200, 1 << 30
#: How many bytes of an archive a member takes at the least, and how many members are harmless in any case.
MEMBER, FEW = 8, 100_000
SHARE = 0.99
"""Of the room on the disk; the rest is left to others."""

#: A member that may be unpacked: its name, and how to read it (nothing to read for a folder).
Member = tuple[str, Callable[[], IO[bytes]] | None]


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into a folder that is not there yet.

    It is unpacked aside and renamed when all is well, so the folder is there whole or not at all. If everything in
    the archive lies in one folder, as is usual, that folder becomes `folder`. The content decides the kind of archive.

    Raises:
        DataError: if a name is absolute or has `..`, a member is a link or a device, something comes twice, there is
            far more in it than an archive of its length has, it is damaged or none, or the folder exists.
        ShortageError: if the disk has too little room, which is found out before it is full.
    """
    if folder.exists():
        raise DataError("an archive is unpacked into a folder that is not there yet", folder)
    aside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _unpack(archive, aside)
        inside = list(aside.iterdir())
        whole = inside[0] if len(inside) == 1 and inside[0].is_dir() else aside
        whole.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unpack(archive: Path, aside: Path) -> None:
    try:
        with closing(_zipped(archive) if zipfile.is_zipfile(archive) else _tarred(archive)) as members:
            _write(archive, members, aside)
    except SlimgenError:
        raise
    except Exception as error:  # hostile or damaged archives may raise anything
        if short := shortage(error, f"unpacking {archive.name}", aside):
            raise short from error
        fault = f"{type(error).__name__}: {error}"
        raise DataError(f"{archive} is a whole tar or zip archive", fault, "get it again") from error


def _write(archive: Path, members: Iterable[Member], aside: Path) -> None:
    length, room, written = archive.stat().st_size, SHARE * free(aside), 0
    most_bytes, most_members = max(HARMLESS, GROWTH * length), max(FEW, length // MEMBER)
    for number, (name, opened) in enumerate(members):
        if number >= most_members:
            raise _bomb(archive, f"at most {most_members:,} members")
        path = aside / _safe(archive, name)
        if opened is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise DataError("a name comes once in an archive", f"{name!r} twice in {archive}")
        with opened() as source, path.open("xb") as target:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > most_bytes:
                    raise _bomb(archive, f"at most {most_bytes:,} bytes")
                if written > room:
                    raise full(f"unpacking {archive.name}", aside.parent)
                target.write(chunk)


def _bomb(archive: Path, most: str) -> DataError:
    rule = f"an archive of {archive.stat().st_size:,} bytes unpacks to {most}"
    return DataError(rule, f"more in {archive}", "unpack it yourself if you trust it")


def _zipped(archive: Path) -> Generator[Member, None, None]:
    with zipfile.ZipFile(archive) as file:
        if sum(entry.file_size for entry in file.infolist()) > SHARE * free(archive.parent):
            raise full(f"unpacking {archive.name}", archive.parent)
        for entry in file.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, entry.filename, "a link or a device")
            name = entry.orig_filename
            yield name, None if entry.is_dir() else partial(file.open, entry)


def _tarred(archive: Path) -> Generator[Member, None, None]:
    # As a stream: one pass, and a bomb is met before it is read to its end.
    with tarfile.open(archive, "r|*") as file:
        for entry in file:
            if not (entry.isreg() or entry.isdir()):
                raise _refused(archive, entry.name, "a link or a device")
            yield entry.name, None if entry.isdir() else cast(Callable[[], IO[bytes]], partial(file.extractfile, entry))


def _safe(archive: Path, name: str) -> PurePosixPath:
    """The name as a path that stays where it is put; backslashes and drive letters count as attempts to leave."""
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise _refused(archive, name, "a name that is no plain path")
    if path.is_absolute() or ".." in path.parts:
        raise _refused(archive, name, "a path that leaves the folder")
    return path


def _refused(archive: Path, name: str, what: str) -> DataError:
    return DataError(f"an archive from outside holds plain files below its folder; {archive} has {what}", repr(name))
