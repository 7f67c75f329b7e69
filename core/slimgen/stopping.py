"""Signals that end a run (Ctrl-C, SIGTERM, SIGHUP): noticed at once, obeyed where no work is lost."""

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AGAIN = 0.3  # seconds after which a second Ctrl-C comes from the user; one passed on by a parent follows sooner
SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "fish")
STARTERS = ("TORCHELASTIC_RUN_ID", "DVC_STAGE", "SLIMGEN_STARTER")
"""Environment variables that torchrun, DVC and a local pipeline set for the processes that they start."""

_asked: int | None = None
_since = 0.0
_held = 0
_listening = _passing_on = _watching = False


class Stopped(KeyboardInterrupt):
    """Request by a signal to end this process."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def listening() -> Iterator[None]:
    """Raise `Stopped` in the main thread for signals that arrive inside the block, at once or where `held` ends.

    A failure that follows from the signal becomes `Stopped` too. A second Ctrl-C ends the process immediately; files
    that are already written stay intact. Signals that were ignored at the start, as under nohup, stay ignored. A
    process that torchrun, DVC or a pipeline started ends together with its starter.
    """
    global _asked, _listening
    if _listening or threading.current_thread() is not threading.main_thread():
        with obeying():
            yield
        return
    if any(name in os.environ for name in STARTERS):
        _end_with_starter()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        _asked, _listening = None, True
        for number in before:
            signal.signal(number, _notice)
        with obeying():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked, _listening = None, False


@contextmanager
def obeying() -> Iterator[None]:
    """Turn errors inside the block into `Stopped` after a signal, which caused them: a lost peer, a cut import."""
    try:
        yield
    except Exception as error:
        if _asked is not None:
            raise Stopped(_asked) from error
        raise


@contextmanager
def held() -> Iterator[None]:
    """Note signals inside the block, for a loop that checks `asked` after each step; raise `Stopped` at its end."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    heed()


@contextmanager
def passing_on() -> Iterator[None]:
    """Pass signals on to child processes inside the block, since this process waits for them before it ends."""
    global _passing_on
    _passing_on = True
    try:
        yield
    finally:
        _passing_on = False


def asked() -> bool:
    """Return whether a signal asked this process to end."""
    return _asked is not None


def stopped() -> int:
    """Return the shell's exit status for the received signal: 130, 143 or 129; 0 without a signal."""
    return 128 + _asked if _asked is not None else 0


def heed() -> None:
    """Raise `Stopped` if a signal arrived and is not held, even where a library swallowed the first one."""
    if _asked is not None and not _held:
        raise Stopped(_asked)


def leave_at_once() -> None:
    """Let signals end the process silently from now on: its work is done, and the interpreter is closing."""
    with suppress(ValueError):  # not in the main thread
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: os._exit(128 + number))


def _children() -> list[int]:
    """Return the ids of this process's children, where Linux lists them."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text(encoding="ascii").split()]


def _end_with_starter() -> None:
    """Send this process SIGTERM from a thread when its starter is gone, since nothing waits for it any more."""
    global _watching
    starter = _starter(os.getppid())
    if _watching or starter is None or not hasattr(os, "pidfd_open"):
        return
    with suppress(OSError):  # gone already, or an old kernel
        handle = os.pidfd_open(starter)

        def watch() -> None:
            select.select([handle], [], [])
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, name="slimgen-starter", daemon=True).start()
        _watching = True


def _starter(process: int) -> int | None:
    """Return the nearest process that is no shell, from the given one upwards, where Linux lists them.

    A shell may outlive the program that called it.
    """
    with suppress(OSError, ValueError, IndexError):
        while process > 1:
            name, _, rest = Path(f"/proc/{process}/stat").read_text(errors="replace").partition("(")[2].rpartition(")")
            if name not in SHELLS:
                return process
            process = int(rest.split()[1])
    return None


def _notice(number: int, frame: FrameType | None) -> None:
    global _asked, _since
    if _asked is None:
        _asked, _since = number, time.monotonic()
        for child in _children() if _passing_on else ():
            with suppress(OSError):
                os.kill(child, signal.SIGTERM)
        heed()
    elif number == signal.SIGINT and time.monotonic() - _since >= AGAIN:
        with suppress(OSError):
            cursor = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides the cursor
            os.write(2, f"{cursor}\ninterrupted twice; run the same command again to go on\n".encode())
        os._exit(128 + _asked)
