"""MLflow as a copy of run folders, which are authoritative. A sync never fails a stage or delays it for long."""

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from slimgen.addresses import shown, told
from slimgen.errors import RunError
from slimgen.files import STAGE
from slimgen.run.mirror import Mirror
from slimgen.run.record import read_record
from slimgen.run.store import Store, broken, load_mlflow, watch_system
from slimgen.run.views import save_candidates, save_generators
from slimgen.stopping import asked

if TYPE_CHECKING:
    from typing import Any as Monitor  # of MLflow, which has no types

Warn = Callable[[str], None]
OWED = ".unsynced"
EVERY = 60.0  # seconds between two syncs of a stage under way
CLOSING = 60.0  # seconds that a stage waits for its last sync
STOPPED = 15.0  # likewise after a signal, whose sender will not wait for long
REMEDY = (
    "the file is damaged, incomplete, or of another MLflow version: move it away, and slimgen ui --sync writes a new "
    "one from the run folders"
)


_said: set[str] | None = None


class SilentError(Exception):
    """A tracker that does not answer."""


def store() -> str:
    """Return the tracking URI: MLFLOW_TRACKING_URI, else SQLite in the working folder, by its absolute path.

    The address is relative if the path has characters with a meaning in addresses: SQLAlchemy takes a `?` for the end
    of the path, and not every version decodes `%3F`.
    """
    path = Path.cwd() / "mlflow.db"
    plain = str(path).isprintable() and not set("?%#") & set(str(path))
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path if plain else path.name}"


def sync(folder: Path) -> None:
    """Update MLflow from the folder of a run or of one stage; a repeated call changes only what has changed since.

    Raises:
        RunError: the tracker does not answer, or rejects the data.
    """
    try:
        _require_answer(store())
        Mirror(store()).sync(folder)
    except Exception as error:  # a server or its client may raise anything
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


def generators_view() -> str | None:
    """Save the view of all generators, and return its path on the server; None without generators or a store."""
    with suppress(Exception):  # what is only shown
        opened = Store(store())
        view = save_generators(opened, opened.experiment)
        return None if view is None else view.path
    return None


def candidates_view(run: Path) -> str:
    """Sync the search of a run, save the view of its candidates, and return the view's path on the server.

    Raises:
        RunError: the folder holds no finished search, its front is empty, or the tracker does not take it.
    """
    folder = run if run.name == "search" and (run / STAGE).is_file() else run / "search"
    if not read_record(folder).get("finished"):
        raise RunError("--compare takes the folder of a run with a finished search", run, "run it to its search first")
    try:
        _require_answer(store())
        mirror = Mirror(store())
        mirror.sync(folder)
        found = mirror.run_of(folder)
        view = None if found is None else save_candidates(mirror.store, *found)
    except Exception as error:
        hint = REMEDY if broken(error) else None
        raise RunError(f"cannot show {run} in MLflow at {shown(store())}", _reason(error), hint) from error
    if view is None:
        raise RunError("a search must have candidates on its front to compare", folder)
    return view.path


@contextmanager
def warning_once() -> Iterator[None]:
    """Print each warning only once in this context: the stages of a run use the same store, one after the other."""
    global _said
    before, _said = _said, set() if _said is None else _said
    try:
        yield
    finally:
        _said = before


def catch_up(out: Path, *others: Path, warn: Warn = print, inputs: Mapping[str, Path] | None = None) -> None:
    """Sync a finished stage whose process was killed before its last sync, under this name or another."""
    owed = [path for path in map(_owed, (out, *others)) if path.exists()]
    if owed:
        with tracked(out, warn, inputs):
            pass
    for path in owed:
        path.unlink(missing_ok=True)


def _owed(folder: Path) -> Path:
    """Return the file beside a stage's folder that exists while its last sync is pending."""
    return folder.resolve().with_name(f".{folder.name}{OWED}")


@contextmanager
def tracked(folder: Path, warn: Warn = print, inputs: Mapping[str, Path] | None = None) -> Iterator[None]:
    """Sync a stage's folder from a thread beside the block: at once, about once a minute, and after the block.

    `inputs` are the folders that the stage reads, by name; by default those beside its folder. The first error prints
    one warning line and ends syncing for this stage. Only the last sync is waited for, and not for long. The stage must
    have begun.
    """
    copying = _Copying(folder, warn, inputs)
    copying.start()
    try:
        yield
    finally:
        copying.finish()


class _Copying:
    """The thread of `tracked`."""

    def __init__(self, folder: Path, warn: Warn, inputs: Mapping[str, Path] | None) -> None:
        self.folder, self.warn, self.uri, self.inputs = folder, warn, store(), inputs
        self._over, self._failed = threading.Event(), threading.Lock()
        # A daemon: a call that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="slimgen-tracker", daemon=True)

    def start(self) -> None:
        try:
            _require_answer(self.uri)
            load_mlflow()  # here, because two threads that import the same libraries at once disturb each other
        except Exception as error:
            self._fail(error)
        else:
            with suppress(OSError):
                _owed(self.folder).touch()
            self._thread.start()

    def _run(self) -> None:
        try:
            mirror, monitor = Mirror(self.uri), None
            while True:
                last = self._over.is_set()
                if last and monitor is not None:
                    monitor.finish()  # before the run ends
                mirror.sync(self.folder, self.inputs)
                if last:
                    return
                monitor = monitor or self._watch(mirror)
                self._over.wait(EVERY)
        except Exception as error:
            self._fail(error)

    def _watch(self, mirror: Mirror) -> "Monitor | None":
        """Log the use of processor and memory, too, if MLflow's switch is on; a failure is a warning."""
        found = mirror.run_of(self.folder)
        try:
            return None if found is None else watch_system(mirror.store, found[1])
        except Exception as error:  # psutil is missing, or the machine does not tell
            self.warn(f"MLflow's system metrics are not logged ({told(error, self.uri)}).")
            return None

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
        if self._failed.acquire(blocking=False):  # never released: one line is enough
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

    Addresses that are not HTTP return True at once.
    """
    if not uri.startswith(("http://", "https://")):
        return True
    answered = []
    # The client needs the user and password in the address; this request does not.
    url = f"{shown(uri).rstrip('/')}/health"

    def knock() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds):
                answered.append(True)
        except urllib.error.HTTPError:
            answered.append(True)  # an error is an answer, too
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The client, which has its own settings, may accept a certificate that Python does not know.
            if "CERTIFICATE" in str(error).upper():
                answered.append(True)

    thread = threading.Thread(target=knock, name="slimgen-knock", daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answered)
