"""Unpacking of untrusted archives: nothing is written outside the folder, and only files and folders are created."""

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
#: Largest allowed growth of an archive when unpacked, and a number of bytes that is always allowed: pictures hardly
#: compress, while a bomb's zeros do so a thousandfold.
GROWTH, HARMLESS = 200, 1 << 30
#: Fewest bytes that a member takes in an archive, and a number of members that is always allowed.
MEMBER, FEW = 8, 100_000
SHARE = 0.99
"""Share of the free space that may be used."""

#: A member that may be unpacked: its name, and a function that opens it (None for a folder).
Member = tuple[str, Callable[[], IO[bytes]] | None]


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into a new folder.

    It is unpacked aside and renamed at the end, so the folder is complete or missing. If everything in the archive lies
    in one folder, as is usual, that folder becomes `folder`. The content decides the kind of archive.

    Raises:
        DataError: a name is absolute or has `..`, a member is a link or a device, a name occurs twice, the content is
            far larger than the archive, the archive is damaged or no archive, or the folder exists.
        ShortageError: the disk has too little room, which is checked before it is full.
    """
    if folder.exists():
        raise DataError("the folder for an archive must not exist yet", folder, "choose another folder or remove it")
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
        raise DataError(f"{archive} must be a complete tar or zip archive", fault, "download it again") from error


def _write(archive: Path, members: Iterable[Member], aside: Path) -> None:
    length, room, written = archive.stat().st_size, SHARE * free(aside), 0
    most_bytes, most_members = max(HARMLESS, GROWTH * length), max(FEW, length // MEMBER)
    for number, (name, opened) in enumerate(members):
        if number >= most_members:
            raise _bomb(archive, f"{most_members:,} members")
        path = aside / _safe(archive, name)
        if opened is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise DataError(f"names in {archive} must be unique", f"{name!r} twice")
        with opened() as source, path.open("xb") as target:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > most_bytes:
                    raise _bomb(archive, f"{most_bytes:,} bytes")
                if written > room:
                    raise full(f"unpacking {archive.name}", aside.parent)
                target.write(chunk)


def _bomb(archive: Path, most: str) -> DataError:
    rule = f"{archive}, with {archive.stat().st_size:,} bytes, must unpack to at most {most}"
    return DataError(rule, "more", "unpack it yourself if you trust it")


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
    # As a stream: one pass, and a bomb is noticed before it is read to its end.
    with tarfile.open(archive, "r|*") as file:
        for entry in file:
            if not (entry.isreg() or entry.isdir()):
                raise _refused(archive, entry.name, "a link or a device")
            yield entry.name, None if entry.isdir() else cast(Callable[[], IO[bytes]], partial(file.extractfile, entry))


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return the name as a relative path inside the folder; refuse backslashes and drive letters too."""
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise _refused(archive, name, "a name that is no plain path")
    if path.is_absolute() or ".." in path.parts:
        raise _refused(archive, name, "a path that leaves the folder")
    return path


def _refused(archive: Path, name: str, what: str) -> DataError:
    return DataError(f"{archive} must contain only plain files inside its folder", f"{what}: {name!r}")
