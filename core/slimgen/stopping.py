"""Signals that end a run (Ctrl-C, SIGTERM, SIGHUP): noticed at once, obeyed where nothing is lost."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AGAIN = 0.3  # seconds after which a second Ctrl-C is meant; one that is sent on by a parent follows sooner

_asked: int | None = None
_since = 0.0
_held = 0
_listening = False


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def listening() -> Iterator[None]:
    """Within, a signal that ends a process raises `Stopped` in the main thread, at once or where `held` ends.

    Whatever fails because of it is `Stopped`, too. A second Ctrl-C ends the process where it stands, which loses
    nothing that is written. What the process was started to ignore, as under nohup, it goes on to ignore.
    """
    global _asked, _listening
    if _listening or threading.current_thread() is not threading.main_thread():
        with obeying():
            yield
        return
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


def _notice(number: int, frame: FrameType | None) -> None:
    global _asked, _since
    if _asked is None:
        _asked, _since = number, time.monotonic()
        heed()
    elif number == signal.SIGINT and time.monotonic() - _since >= AGAIN:
        with suppress(OSError):
            cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a progress bar hides
            os.write(2, f"{cursor}\ninterrupted twice; run the same command again to go on\n".encode())
        os._exit(128 + _asked)
