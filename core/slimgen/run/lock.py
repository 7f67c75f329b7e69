"""One process at a time in a folder."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from slimgen.errors import RunError

NAME = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # some network file systems
_held: set[int] = set()


def _leave_to_parent() -> None:
    # A forked worker that outlives its killed parent would keep the parent's lock.
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def in_use(folder: Path) -> bool:
    """Return whether a process, this one included, holds the lock on a folder."""
    try:
        handle = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks, where the file's presence decides
        return True
    finally:
        os.close(handle)
    return False


def sweep(folder: Path) -> None:
    """Remove a lock file that nobody holds, left by a killed process."""
    if (folder / NAME).exists():
        with suppress(RunError):
            lock = Lock(folder)
            lock.acquire()
            lock.release()


class Lock:
    """An exclusive lock on an existing folder, which the kernel releases when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Return whether this object, in this process, holds the lock."""
        return self._handle is not None and self._handle in _held

    def acquire(self) -> None:
        """Take the lock without waiting; do nothing if this object holds it already.

        Raises:
            RunError: another process holds it, or the folder cannot be written.
        """
        if self.held:
            return
        while True:
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise RunError("a run folder must be writable", error, "choose another --out") from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                    os.close(handle)
                    hint = "wait until it has finished, or choose another --out"
                    got = f"{self.path.parent}, in use by process {owner}"
                    raise RunError("two processes cannot work in one run folder", got, hint) from error
            if self._is_current(handle):
                break
            os.close(handle)  # its last owner removed it between opening and locking
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        _held.add(handle)
        self._handle = handle

    def follow(self, folder: Path) -> None:
        """Keep the lock on a folder that was renamed to this one."""
        self.path = folder / NAME

    def release(self) -> None:
        """Release the lock and remove its file; do nothing if it is not held."""
        if self._handle is not None and self._handle in _held:
            self.path.unlink(missing_ok=True)
            _held.discard(self._handle)
            os.close(self._handle)
        self._handle = None

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False
