"""stdout and stderr that never fail a command: what cannot be shown is left out, and computing goes on."""

import codecs
import errno
import io
import os
import select
import sys

GONE = (errno.EPIPE, errno.EIO)  # a reader that left, a terminal that was closed: nobody wants the rest
LIKE = {"↑": "^", "↓": "v", "✓": "+", "×": "x", "…": ".", "−": "-"}
"""What stands for a sign, as wide as it is, where an encoding lacks it; of others, their escape."""


class Told(io.RawIOBase):
    """A file descriptor that is written as far as that is possible; `fault` is the first error."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.fault: OSError | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._handle

    def isatty(self) -> bool:
        """Whether a person may be looking."""
        return os.isatty(self._handle)

    def write(self, data: object) -> int:
        """Writes what can be written, and takes the rest for written."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        done = 0
        while done < len(view):
            try:
                done += os.write(self._handle, view[done:])
            except BlockingIOError:  # a pipe that is full, and shared with a process that does not wait
                select.select([], [self._handle], [])
            except OSError as error:
                self.fault = self.fault or error
                break
        return len(view)


def open_streams() -> None:
    """Puts streams that cannot fail in the place of stdout and stderr, in whatever encoding these had.

    Characters that the encoding lacks are replaced. A stream that is closed is opened on nothing first: otherwise the
    next file to be opened would get its number, and with it what libraries print. What somebody has put in the place
    of a stream already stays.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(sys.stderr, 2)


def unsaid() -> OSError | None:
    """Why stdout does not hold all that was printed, although somebody wanted it: a full disk, for instance."""
    buffer = getattr(sys.stdout, "buffer", None)
    if not isinstance(getattr(buffer, "raw", None), Told):
        return None
    sys.stdout.flush()
    fault: OSError | None = buffer.raw.fault  # type: ignore[union-attr]
    return None if fault is None or fault.errno in GONE else fault


def _stream(stream: io.TextIOBase | object | None, handle: int) -> io.TextIOWrapper:
    raw = Told(handle)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    lines = handle == 2 or raw.isatty()
    codecs.register_error("slimgen.like", _like)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "slimgen.like", line_buffering=lines)


def _like(error: UnicodeError) -> tuple[str | bytes, int]:
    """A codec's handler of characters that it cannot encode."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(LIKE.get(c, c.encode("ascii", "backslashreplace").decode()) for c in characters), error.end
