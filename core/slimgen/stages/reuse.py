"""Reuse of a result from a neighbouring run with the same recipe sections, inputs and code."""

import fnmatch
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slimgen.files import STAGE, SUFFIX, publish, sha256_once
from slimgen.run.folder import StageFolder
from slimgen.run.record import LOGS, Record, content, read_record, walk

# The same for all processes, of which the folder's lock admits one: files of a killed one are found again.
ASIDE = f".0{SUFFIX}"
LINKED, WRITABLE = (".npy", ".safetensors"), stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def take_over(folder: StageFolder) -> tuple[Path, Record] | None:
    """Fill a stage's folder from a neighbour's with the same computation, if there is one.

    Neighbours are the folders of the same stage in the runs beside this one: two recipes with the same data and the
    same teacher train it once. Arrays and weights are linked, and become read-only for both runs, or copied where links
    are impossible; other files are copied. They get temporary names, are compared with the neighbour's record, and are
    renamed when all of them match. The caller begins and finishes the folder, so a process killed here leaves nothing
    incomplete.

    Returns:
        The neighbour and its record; None if there is none, or its files differ from its record. The folder then holds
        only this run's own files, shared with no other.
    """
    for neighbour in _neighbours(folder):
        record = StageFolder(neighbour, folder.stage, folder.fingerprint).finished()
        if record is not None and _placed(neighbour, record, folder.path):
            return neighbour, record
    _part(folder.path)
    return None


def _neighbours(folder: StageFolder) -> Iterator[Path]:
    """Return the folders of the same stage in other runs, by name."""
    run = folder.out.absolute().parent
    with suppress(OSError):  # a folder that may not be listed is skipped
        for record in sorted(run.parent.glob(f"*/{folder.stage}/{STAGE}")):
            if not record.parent.samefile(folder.path):
                yield record.parent


def _placed(source: Path, record: Record, target: Path) -> bool:
    """Copy a finished stage's outputs and logs into a folder; return False if they differ from the record."""
    waiting: dict[Path, Path] = {}
    try:
        for name, output in record["outputs"].items():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            aside = place.with_name(f"{place.name}{ASIDE}")
            waiting[aside] = place
            _share(source / name, aside)
            if sha256_once(aside) != output["sha256"]:
                return False
        for path in sorted(source.iterdir()):
            if any(fnmatch.fnmatch(path.name, log) for log in LOGS):
                shutil.copy2(path, target / path.name)  # never a link: logs are appended to
        for aside, place in waiting.items():
            publish(aside, place)
    except OSError:
        return False
    finally:
        for aside in waiting:
            aside.unlink(missing_ok=True)
    return True


def _share(source: Path, target: Path) -> None:
    """Link arrays and weights; copy small files, and those that people read and perhaps edit."""
    target.unlink(missing_ok=True)
    if source.suffix in LINKED:
        with suppress(OSError):  # another file system, one without links, or another user's file
            source.chmod(source.stat().st_mode & ~WRITABLE)  # a change in place would affect both
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def _part(path: Path) -> None:
    """Remove links from an earlier attempt: a stage that writes into its folder must not write into its neighbour."""
    for name in [name for name in walk(path) if name.endswith(ASIDE)]:
        (path / name).unlink()
    for name in content(path) - set(read_record(path).get("found", {})):
        state = (path / name).stat()
        if state.st_nlink > 1 or not state.st_mode & WRITABLE:
            (path / name).unlink()
