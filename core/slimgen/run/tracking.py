"""MLflow as a copy of run folders, which are authoritative. A sync never fails a stage or delays it for long."""

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slimgen.addresses import shown, told
from slimgen.errors import RunError
from slimgen.run.mirror import Mirror
from slimgen.run.store import Store, broken, load_mlflow
from slimgen.stopping import asked

Warn = Callable[[str], None]
OWED = ".unsynced"
EVERY = 60.0  # seconds between two syncs of a stage under way
CLOSING = 60.0  # seconds that a stage waits for its last one
STOPPED = 15.0  # likewise, where a signal ends it: whoever sent it will not wait for long
REMEDY = (
    "the file is damaged, incomplete, or of another MLflow version: move it away, and slimgen ui --sync writes a new "
    "one from the run folders"
)


_said: set[str] | None = None


class SilentError(Exception):
    """A tracker that does not answer."""


def store() -> str:
    """Return the tracking URI: MLFLOW_TRACKING_URI, else SQLite in the working folder, by its absolute path.

    Where the path has characters that mean something in an address, the store's is relative: SQLAlchemy takes a `?` for
    the end of a path, and not every version decodes `%3F`.
    """
    path = Path.cwd() / "mlflow.db"
    plain = str(path).isprintable() and not set("?%#") & set(str(path))
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path if plain else path.name}"


def sync(folder: Path) -> None:
    """Update MLflow from the folder of a run or of one stage; a repeated call changes only what has changed since.

    Raises:
        RunError: the tracker does not answer, or refuses.
    """
    try:
        _require_answer(store())
        Mirror(store()).sync(folder)
    except Exception as error:  # whatever a server or its client comes up with
        hint = REMEDY if broken(error) else None
        raise RunError(f"cannot sync {folder} to MLflow at {shown(store())}", _reason(error), hint) from error


def create_store(warn: Warn = print) -> str | None:
    """Create or migrate the tracking store, once, before several processes use it; return the id of the experiment.

    Warns and returns None if the store cannot be used.
    """
    try:
        _require_answer(store())
        return Store(store()).experiment
    except Exception as error:
        _leave_out(warn, error)
        return None


@contextmanager
def warning_once() -> Iterator[None]:
    """Give each warning once within: the stages of a run meet the same store, one after the other."""
    global _said
    before, _said = _said, set() if _said is None else _said
    try:
        yield
    finally:
        _said = before


def catch_up(out: Path, *others: Path, warn: Warn = print) -> None:
    """Sync a finished stage whose process was killed before its last sync, under this name or another."""
    owed = [path for path in map(_owed, (out, *others)) if path.exists()]
    if owed:
        with tracked(out, warn):
            pass
    for path in owed:
        path.unlink(missing_ok=True)


def _owed(folder: Path) -> Path:
    """Return the file beside a stage's folder that exists while its last sync is pending."""
    return folder.resolve().with_name(f".{folder.name}{OWED}")


@contextmanager
def tracked(folder: Path, warn: Warn = print) -> Iterator[None]:
    """Sync a stage's folder from a thread beside the block: at once, about once a minute, and after the block.

    The first thing that goes wrong is one warning line, and the end of syncing for this stage. Only the last sync is
    waited for, and not for long. The stage has begun.
    """
    copying = _Copying(folder, warn)
    copying.start()
    try:
        yield
    finally:
        copying.finish()


class _Copying:
    """The thread of `tracked`."""

    def __init__(self, folder: Path, warn: Warn) -> None:
        self.folder, self.warn, self.uri = folder, warn, store()
        self._over, self._failed = threading.Event(), threading.Lock()
        # A daemon: a call that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="slimgen-tracker", daemon=True)

    def start(self) -> None:
        try:
            _require_answer(self.uri)
            load_mlflow()  # here, since two threads that import the same libraries at once get in each other's way
        except Exception as error:
            self._fail(error)
        else:
            with suppress(OSError):
                _owed(self.folder).touch()
            self._thread.start()

    def _run(self) -> None:
        try:
            mirror = Mirror(self.uri)
            while True:
                last = self._over.is_set()
                mirror.sync(self.folder)
                if last:
                    return
                self._over.wait(EVERY)
        except Exception as error:
            self._fail(error)

    def finish(self) -> None:
        """Wait for the last sync while the server answers, for at most `CLOSING` seconds, or `STOPPED`."""
        try:
            self._wait()
        finally:  # failures were warned about
            with suppress(OSError):
                _owed(self.folder).unlink(missing_ok=True)

    def _wait(self) -> None:
        self._over.set()
        patience = min(CLOSING, STOPPED) if asked() else CLOSING
        end = time.monotonic() + patience
        while self._thread.is_alive():
            self._thread.join(max(0.0, min(2.0, end - time.monotonic())))
            if self._thread.is_alive() and time.monotonic() >= end:
                return self._fail(SilentError(f"no answer in {patience:.0f} s"))
            if self._thread.is_alive() and not _answers(self.uri):
                return self._fail(SilentError("it does not answer"))
        return None

    def _fail(self, error: Exception) -> None:
        if self._failed.acquire(blocking=False):  # never given back: one line is enough
            _leave_out(self.warn, error)


def _leave_out(warn: Warn, error: Exception) -> None:
    remedy = REMEDY if broken(error) else "everything is in the run folder, and slimgen ui --sync syncs it later"
    line = f"MLflow at {shown(store())} is not synced from here on ({_reason(error)}); {remedy}."
    if _said is not None and line in _said:
        return
    if _said is not None:
        _said.add(line)
    warn(line)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SilentError) else told(error, store())


def _require_answer(uri: str) -> None:
    if not _answers(uri):
        raise SilentError("it does not answer")


def _answers(uri: str, seconds: float = 2.0) -> bool:
    """Return whether an HTTP server answers, even with an error, in bounded time, even if its name is unknown.

    What is no server's answers at once.
    """
    if not uri.startswith(("http://", "https://")):
        return True
    answered = []
    # A user and password in the address are for the client; nobody needs them to knock.
    url = f"{shown(uri).rstrip('/')}/health"

    def knock() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds):
                answered.append(True)
        except urllib.error.HTTPError:
            answered.append(True)  # it is there, and speaks
        except (OSError, ValueError, http.client.HTTPException) as error:
            # A certificate that Python does not know may still be good for the client, which has its own settings.
            if "CERTIFICATE" in str(error).upper():
                answered.append(True)

    thread = threading.Thread(target=knock, name="slimgen-knock", daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answered)
