"""Leftovers of runs: results of other settings, and temporary files of killed processes."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimgen.files import CHECKPOINTS, STAGE
from slimgen.run import record as records
from slimgen.run.lock import NAME as LOCK
from slimgen.run.lock import in_use
from slimgen.run.place import is_parked
from slimgen.run.record import HALF_WRITTEN, read_record

DRAWING = re.compile(r"\.townhouses-[a-z]+-\d+\.\d+")


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can be removed.

    Attributes:
        about: its description.
        files: the files in it that slimgen wrote; all others stay.
    """

    path: Path
    about: str
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """Return the bytes on disk that removal frees; a file that other runs share frees none."""
        states = [file.stat() for file in self.files if file.exists()]
        return sum(state.st_size for state in states if state.st_nlink == 1)

    def remove(self) -> list[Path]:
        """Remove the folder or file, and return the user's files in it, which stay."""
        for file in self.files:
            file.unlink(missing_ok=True)
        for place, _, _ in os.walk(self.path, topdown=False):
            with suppress(OSError):  # it is not empty
                os.rmdir(place)
        return sorted(path for path in self.path.rglob("*") if path.is_file()) if self.path.is_dir() else []


def leftovers(run: Path) -> Iterator[Leftover]:
    """Return the removable parts of a run's folder by name; never those in use, or the only result."""
    for path in sorted(run.iterdir()):
        if not path.is_dir() or in_use(path):
            continue
        if is_parked(path):
            if read_record(path.with_suffix("")):  # else it was about to take that place when its process was killed
                yield Leftover(path, _about(path), tuple(_written(path)))
        elif DRAWING.fullmatch(path.name):
            yield Leftover(path, "unfinished drawings", tuple(file for file in path.rglob("*") if file.is_file()))
        elif record := read_record(path):
            yield from _inside(path, whole=bool(record.get("finished")))


def _inside(stage: Path, *, whole: bool) -> Iterator[Leftover]:
    """Return the removable files of a stage's folder: temporary files, a dead lock and, once finished, checkpoints."""
    for path in sorted(stage.rglob("*")):
        if HALF_WRITTEN.search(path.name) and path.is_file():
            yield Leftover(path, "a half-written file", (path,))
    if (stage / LOCK).exists():
        yield Leftover(stage / LOCK, "the lock of a killed process", (stage / LOCK,))
    if whole and (stage / CHECKPOINTS).is_dir():
        saved = tuple(path for path in (stage / CHECKPOINTS).rglob("*") if path.is_file())
        yield Leftover(stage / CHECKPOINTS, "checkpoints of a finished stage", saved)


def _about(parked: Path) -> str:
    record = read_record(parked)
    if not record:
        return "an empty folder for other settings"
    return f"{'a finished' if record.get('finished') else 'an unfinished'} {record['stage']} of other settings"


def _written(parked: Path) -> Iterator[Path]:
    """Yield the files of a parked folder that its stage wrote, last the record, which identifies the folder."""
    record = read_record(parked)
    names = set(record["outputs"]) if record.get("finished") else records.content(parked) - set(record.get("found", {}))
    beside = {name for name in records.walk(parked) if records.is_beside(name)} - {STAGE}
    yield from (parked / name for name in sorted(names | beside))
    yield parked / STAGE
