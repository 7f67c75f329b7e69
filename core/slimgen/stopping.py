"""Signals that end a run (Ctrl-C, SIGTERM, SIGHUP): noticed at once, obeyed where nothing is lost."""

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
AGAIN = 0.3  # seconds after which a second Ctrl-C is meant; one that is sent on by a parent follows sooner
SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "fish")
STARTERS = ("TORCHELASTIC_RUN_ID", "DVC_STAGE", "SLIMGEN_STARTER")
"""Variables of which torchrun, DVC and a pipeline on this machine set one for the processes that they start."""

_asked: int | None = None
_since = 0.0
_held = 0
_listening = _passing_on = _watching = False


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def listening() -> Iterator[None]:
    """Within, a signal that ends a process raises `Stopped` in the main thread, at once or where `held` ends.

    Whatever fails because of it is `Stopped`, too. A second Ctrl-C ends the process where it stands, which loses
    nothing that is written. What the process was started to ignore, as under nohup, it goes on to ignore. One that
    torchrun or a pipeline started ends with whoever started it.
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
    """What fails within after a signal came, failed because of it: a peer that is gone, an import cut short."""
    try:
        yield
    except Exception as error:
        if _asked is not None:
            raise Stopped(_asked) from error
        raise


@contextmanager
def held() -> Iterator[None]:
    """Within, a signal is only noted, for a loop that looks at `asked` after each step; leaving it raises `Stopped`."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    heed()


@contextmanager
def passing_on() -> Iterator[None]:
    """Within, the processes that this one started are told to end, too: waiting for them, it could not end before."""
    global _passing_on
    _passing_on = True
    try:
        yield
    finally:
        _passing_on = False


def asked() -> bool:
    """Whether a signal asked this process to end."""
    return _asked is not None


def stopped() -> int:
    """The exit status that shells know for the signal that came: 130, 143, 129; 0 where none did."""
    return 128 + _asked if _asked is not None else 0


def heed() -> None:
    """Raises `Stopped` if a signal asked for it, also where a library swallowed that, unless it is held."""
    if _asked is not None and not _held:
        raise Stopped(_asked)


def leave_at_once() -> None:
    """From now on a signal ends the process without a word: its work is done, and the interpreter is closing."""
    with suppress(ValueError):  # not in the main thread
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: os._exit(128 + number))


def _children() -> list[int]:
    """The processes that this one started, where Linux lists them."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text(encoding="ascii").split()]


def _end_with_starter() -> None:
    """Sends this process SIGTERM, from a thread, when the one that started it is gone: nobody waits for it any more."""
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
    """The nearest of a process and what started it that is no shell, where Linux tells; shells outlive who called."""
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
            cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a progress bar hides
            os.write(2, f"{cursor}\ninterrupted twice; run the same command again to go on\n".encode())
        os._exit(128 + _asked)
