"""The folder of a stage: computed once, described by its `stage.json`, never half done and taken for whole."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self, cast

from slimgen.errors import RunError
from slimgen.files import STAGE, plain, sha256_file, write_json
from slimgen.run import record as records
from slimgen.run.lock import NAME as LOCK
from slimgen.run.lock import Lock
from slimgen.run.record import Record, read_record


class StageFolder:
    """The folder that one stage writes; its fingerprint says what the result depends on.

    As a context manager it begins on entering, unless it has begun, and gives the folder free on leaving, with a note
    of how it ended; only `finish` makes it whole.
    """

    def __init__(self, path: str | os.PathLike[str], stage: str, fingerprint: str) -> None:
        self.path, self.stage, self.fingerprint = Path(path), stage, fingerprint
        self._lock = Lock(self.path)
        self._head: dict[str, object] = {}

    def finished(self) -> Record | None:
        """The record of this very computation, if its outputs are still there with their sizes; else None."""
        record = read_record(self.path)
        if not record.get("finished") or (record["stage"], record["fingerprint"]) != (self.stage, self.fingerprint):
            return None
        for name, output in record["outputs"].items():
            try:
                if (self.path / name).stat().st_size != output["bytes"]:
                    return None
            except OSError:
                return None
        return record

    def begin(self, about: Mapping[str, object] | None = None) -> Self:
        """Takes the folder for this process: what was begun before is kept to be resumed, what is foreign removed.

        Of another fingerprint, the outputs, the log and the checkpoints are removed. Files that were there before any
        stage began are never touched. What it is `about` is in the record from the beginning.

        Raises:
            RunError: another process works in the folder, it cannot be written, or an earlier slimgen wrote it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError("a run folder must be a writable folder", error, "choose another --out") from error
        self._lock.acquire()
        try:
            records.require_layout(self.path)
            before = read_record(self.path)
            ours = (before.get("stage"), before.get("fingerprint")) == (self.stage, self.fingerprint)
            written = self._written(before)
            if before and not ours:
                self._remove(written)
                written = set()
            self._head = {
                "layout": records.LAYOUT,
                "stage": self.stage,
                "fingerprint": self.fingerprint,
                "finished": False,
                "found": {name: _mark(self.path / name) for name in records.content(self.path) if name not in written},
                **cast(Mapping[str, object], plain(about or {})),
                "started": before.get("started", time.time()) if ours else time.time(),
            }
            write_json(self.path / STAGE, self._head)
        except BaseException:
            self._lock.release()
            raise
        return self

    def finish(self, record: Mapping[str, object]) -> Record:
        """Describes what was written, in `stage.json`, and gives the folder free.

        To what `begin` was given it adds `seconds`, `metrics` and the like, outputs, digest, versions and machine.

        Raises:
            RunError: `begin` was not called, or the disk is full.
        """
        if not self._lock.held:
            raise RunError("a stage must begin before it can finish", self.path)
        written = sorted(self._written(cast(Record, self._head)))
        try:
            outputs = {
                name: records.Output(sha256=sha256_file(self.path / name), bytes=(self.path / name).stat().st_size)
                for name in written
            }
        except OSError as error:
            raise RunError("every output of a stage must be readable", error) from error
        whole = {
            **self._head,
            **cast(Mapping[str, object], plain(record)),
            "finished": True,
            "ended": time.time(),
            "outputs": outputs,
            "digest": records.digest({name: output["sha256"] for name, output in outputs.items()}),
            "versions": records.versions(),
            "machine": records.machine(),
        }
        write_json(self.path / STAGE, whole)
        self.release()
        return cast(Record, plain(whole))

    def release(self) -> None:
        """Gives the folder free; unfinished, it will be resumed by the next to begin."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self if self._lock.held else self.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lock.held and kind is not None:
            status = "FAILED" if issubclass(kind, Exception) else "KILLED"
            with suppress(RunError):  # the disk may be what ended it
                write_json(self.path / STAGE, {**self._head, "ended": time.time(), "status": status})
        self.release()

    def _written(self, record: Record) -> set[str]:
        """The files in the folder that the stage of a record wrote."""
        if not record:
            return set()
        names = records.content(self.path)
        if record.get("finished"):
            return names & set(record["outputs"])
        found = record.get("found", {})
        # A file that was found and has changed since was overwritten by the stage: its name was an output's.
        return {name for name in names if found.get(name) != _mark(self.path / name)}

    def _remove(self, names: set[str]) -> None:
        own = {name for name in records.walk(self.path) if records.is_beside(name)} - {LOCK, STAGE}
        for name in names | own:
            (self.path / name).unlink(missing_ok=True)
        folders = {parent for name in names | own for parent in Path(name).parents if parent.parts}
        for folder in sorted(folders, reverse=True):  # the deepest first
            with suppress(OSError):
                (self.path / folder).rmdir()


def _mark(path: Path) -> list[int]:
    """What changes when a file is written: its size and its time of change."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]
