"""Folder of a stage: computed once, described by its `stage.json`, never partly written."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, cast

from slimgen.errors import RunError
from slimgen.files import STAGE, plain, sha256_once, sync_folder, write_json
from slimgen.run import record as records
from slimgen.run.lock import NAME as LOCK
from slimgen.run.lock import Lock
from slimgen.run.place import free_name, parked, require_place
from slimgen.run.record import Record, read_record


def _quiet(line: str) -> None:
    """Print nothing."""


class StageFolder:
    """The folder that one stage writes; its fingerprint stands for all that the result depends on.

    As a context manager, it begins on entry unless it has begun already, and on exit releases the folder and records
    how the stage ended; only `finish` completes it. Results of other settings are never removed: they are parked in a
    folder beside this one, and used again by a run with those settings.

    Attributes:
        out: the final place of the result.
        path: the folder to write to, from `begin` on: `out`, or, while that holds a finished result of other settings,
            a parked folder, which `install` moves to `out`.
        say: called with one line about each parked folder.
    """

    def __init__(
        self, path: str | os.PathLike[str], stage: str, fingerprint: str, say: Callable[[str], None] = _quiet
    ) -> None:
        self.out = self.path = Path(path)
        self.stage, self.fingerprint, self.say = stage, fingerprint, say
        self._parked = parked(self.out, fingerprint)
        self._lock, self._parked_lock = Lock(self.out), Lock(self._parked)
        self._head: dict[str, object] = {}

    def finished(self, *, parked: bool = False) -> Record | None:
        """Return the record of this computation if its outputs are there with their sizes, else None.

        With `parked`, it is the record of the parked folder that `install` moves into place.
        """
        folder = self._parked if parked else self.out
        record = read_record(folder)
        if not record.get("finished") or (record["stage"], record["fingerprint"]) != (self.stage, self.fingerprint):
            return None
        for name, output in record["outputs"].items():
            try:
                state = (folder / name).stat()
                if state.st_size != output["bytes"] and not name.endswith(records.LOOKED_AT):
                    return None
            except OSError:
                return None
        return record

    def begin(self, about: Mapping[str, object] | None = None) -> Self:
        """Take the folder for this process; unfinished work is kept and resumed.

        An unfinished result of another fingerprint is parked; a finished one stays, and the stage works in a parked
        folder. A user's files are never changed. The facts in `about` are in the record from the beginning.

        Raises:
            RunError: another process works in the folder, it cannot be written, or it belongs to another stage.
        """
        require_place(self.out, self.stage, {})
        _make(self.out)
        self._lock.acquire()
        try:
            self.path = self._choose()
            before = read_record(self.path)
            records.sweep(self.path)
            written = self._written(self.path, before)
            self._head = {
                "layout": records.LAYOUT,
                "stage": self.stage,
                "fingerprint": self.fingerprint,
                "finished": False,
                "found": {name: _mark(self.path / name) for name in records.content(self.path) if name not in written},
                "inputs": {},
                **cast(Mapping[str, object], plain(about or {})),
                "started": before.get("started", time.time()),
            }
            write_json(self.path / STAGE, self._head)
        except BaseException:
            self.release()
            raise
        return self

    def finish(self, record: Mapping[str, object], *, install: bool = True) -> Record:
        """Write the outputs to `stage.json`, release the folder and, by default, install it.

        It adds `record` (`seconds`, `metrics` etc.), outputs, digest, versions and machine to the facts of `begin`.

        Raises:
            RunError: `begin` was not called, or the disk is full.
        """
        if not self._lock.held:
            raise RunError("a stage must begin before it can finish", self.out)
        written = sorted(self._written(self.path, cast(Record, self._head)))
        try:
            outputs = {
                name: records.Output(sha256=sha256_once(self.path / name), bytes=(self.path / name).stat().st_size)
                for name in written
            }
        except OSError as error:
            raise RunError("every output of a stage must be readable", error) from error
        whole = {
            **self._head,
            "metrics": {},
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
        if install:
            self.install()
        return cast(Record, plain(whole))

    def amend(self, facts: Mapping[str, object]) -> None:
        """Replace facts in the record of the finished stage that no result depends on, such as its label.

        Raises:
            RunError: another process works in the folder, or it cannot be written.
        """
        self._lock.acquire()
        try:
            write_json(self.out / STAGE, {**read_record(self.out), **facts})
        finally:
            self.release()

    def install(self) -> Record | None:
        """Move this computation, finished and parked, into place and park the one there; None if none is parked.

        It takes two renames: after a kill between them both results are parked, and the next run installs its own.

        Raises:
            RunError: another process works in one of the folders, or they cannot be renamed.
        """
        record = self.finished(parked=True)
        if record is None:
            return None
        require_place(self.out, self.stage, {})
        _make(self.out)
        try:
            self._lock.acquire()
            self._parked_lock.acquire()
            before = self._park()
            self._fetch()
            self._bring_back(before)
        finally:
            self.release()
        if before is not None:
            self.say(f"{self.stage}: the old result in {self.out} is kept as {before.name}; slimgen tidy removes it")
        return record

    def release(self) -> None:
        """Release the folder; if unfinished, it is resumed by the next `begin`."""
        self._lock.release()
        self._parked_lock.release()

    def __enter__(self) -> Self:
        return self if self._lock.held else self.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lock.held and kind is not None:
            status = "FAILED" if issubclass(kind, Exception) else "KILLED"
            with suppress(RunError):  # a full disk may be the reason
                write_json(self.path / STAGE, {**self._head, "ended": time.time(), "status": status})
        self.release()

    def _choose(self) -> Path:
        """Choose the folder to work in, while it is locked."""
        record = read_record(self.out)
        if record and record["fingerprint"] == self.fingerprint:
            if record.get("finished"):
                self.say(f"{self.stage}: runs again, as files that it wrote to {self.out} are missing")
            return self.out
        if record.get("finished"):
            if os.path.ismount(self.out):
                rule = f"{self.out} must be renamed to keep its finished {self.stage} of other settings"
                raise RunError(rule, "a mount point", "name another --out")
            _make(self._parked)
            self._parked_lock.acquire()
            about = f"the finished result of other settings stays in {self.out} until this one is finished"
            self.say(f"{self.stage}: {about}; working in {self._parked.name} beside it")
            return self._parked
        before = self._park()
        if before is not None:
            _make(self.out)
            self._lock.release()  # the lock of the folder that is parked now
            self._lock = Lock(self.out)
            self._lock.acquire()
            self._bring_back(before)
            about = f"the unfinished one of other settings in {self.out} is kept as {before.name}"
            self.say(f"{self.stage}: {about}; slimgen tidy removes it")
        if read_record(self._parked):
            self._parked_lock.acquire()
            self._fetch()
        return self.out

    def _park(self) -> Path | None:
        """Move the stage's files in the folder to a parked folder beside it; None if there are none."""
        record = read_record(self.out)
        if not record:
            return None
        before = free_name(parked(self.out, record["fingerprint"]))
        with _renaming(self.out):
            os.rename(self.out.resolve(), before)
        self._lock.follow(before)
        return before

    def _fetch(self) -> None:
        """Move the parked folder into place, where no stage is; other files there are kept in it."""
        out = self.out.resolve()
        with _renaming(out):
            for path in out.iterdir() if out.is_dir() else ():
                if path.name != LOCK:
                    os.rename(path, free_name(self._parked / path.name))
            self._lock.release()
            os.rename(self._parked, out)
        self._lock, self._parked_lock = self._parked_lock, Lock(self._parked)
        self._lock.follow(self.out)
        sync_folder(out.parent)

    def _bring_back(self, before: Path | None) -> None:
        """Move a user's files that were in a folder before it was parked back to their place."""
        if before is None:
            return
        for name in records.content(before) - self._written(before, read_record(before)):
            if not (self.out / name).exists():
                (self.out / name).parent.mkdir(parents=True, exist_ok=True)
                os.rename(before / name, self.out / name)

    @staticmethod
    def _written(folder: Path, record: Record) -> set[str]:
        """Return the files in a folder that the stage of its record wrote."""
        if not record:
            return set()
        names = records.content(folder)
        if record.get("finished"):
            return names & set(record["outputs"])
        found = record.get("found", {})
        # A file that was there before and has changed was overwritten by the stage, as an output of the same name.
        return {name for name in names if found.get(name) != _mark(folder / name)}


@contextmanager
def _renaming(out: Path) -> Iterator[None]:
    """Raise RunError for a folder that cannot be renamed, such as a mount or another user's, for the user to fix."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{out} must be a folder that can be renamed", error, "name another --out") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError("a run folder must be a writable folder", error, "choose another --out") from error


def _mark(path: Path) -> list[int]:
    """Return size and change time of a file, which change when it is written."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]
