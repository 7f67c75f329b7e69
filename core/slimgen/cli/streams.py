"""Streams for stdout and stderr that never fail a command: they drop output that cannot be written."""

import codecs
import errno
import io
import os
import select
import sys

GONE = (errno.EPIPE, errno.EIO)  # the reader left or the terminal was closed: nobody reads the rest
LIKE = {"↑": "^", "↓": "v", "✓": "+", "×": "x", "…": ".", "−": "-"}
"""Replacements of the same width for characters that an encoding lacks; others become escapes."""


class Told(io.RawIOBase):
    """A file descriptor that is written as far as possible; `fault` is the first error."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.fault: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._handle

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return os.isatty(self._handle)

    def write(self, data: object) -> int:
        """Write as much as possible, and report the rest as written."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        done = 0
        while done < len(view):
            try:
                done += os.write(self._handle, view[done:])
            except BlockingIOError:  # a full pipe, shared with a process that made it non-blocking
                select.select([], [self._handle], [])
            except OSError as error:
                self.fault = self.fault or error
                break
        return len(view)


def open_streams() -> None:
    """Replace stdout and stderr by streams that cannot fail, in the same encodings.

    Characters that the encoding lacks are replaced. A closed stream is first opened on the null device: otherwise the
    next opened file would get its number, and with it the output of libraries. A stream that was already replaced
    stays.
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
    """Return why stdout lacks part of the output although somebody reads it, such as a full disk."""
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
    """Return a codec's error handler for characters that it cannot encode."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(LIKE.get(c, c.encode("ascii", "backslashreplace").decode()) for c in characters), error.end
