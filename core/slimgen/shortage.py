"""Memory or disk shortage, recognised in the errors of any library."""

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from slimgen.errors import RunError

FULL = (errno.ENOSPC, errno.EDQUOT)
# Messages of PyTorch on CPU and GPU, its libraries, onnxruntime, the C++ library and the dynamic loader.
_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory|failed to allocate memory|bad_alloc|"
    r"_ALLOC_FAILED|failed to map segment|can't start new thread",
    re.IGNORECASE,
)
_ASKED = re.compile(r"(?:tried to allocate|unable to allocate|requested) ([\d.]+ ?\w+)", re.IGNORECASE)


class ShortageError(RunError):
    """Need for more memory, or more room on a disk, than there is."""


def shortage(
    error: BaseException, where: str, folder: Path | None = None, hint: str | None = None
) -> ShortageError | None:
    """Return the one-line error for an error caused by a shortage of memory or disk; None for any other.

    Args:
        error: the error with its causes.
        where: the work that needs more, such as `teach`.
        folder: a folder on the disk that was written to.
        hint: what to do about a shortage of memory.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            return _disk(cause, where, folder)
        if short_of_memory(cause):
            which = "the GPU has" if re.search("CUDA|CUDNN|CUBLAS|HIP", str(cause)) else "this process may use"
            asked = _ASKED.search(str(cause))
            got = f"no room for another {_amount(asked[1])}" if asked else type(cause).__name__
            hint = hint or "close other programs that use memory"
            return ShortageError(f"{where} needs more memory than {which}", got, hint)
    return None


def short_of_memory(error: BaseException) -> bool:
    """Return whether an error of any class reports that the host or a GPU is out of memory."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # A SlimgenError that only quotes such words is no shortage.
    return isinstance(error, RuntimeError | ImportError | SystemError) and bool(_MEMORY.search(str(error)))


def free(folder: Path) -> int:
    """Return the free bytes on a folder's disk; for a missing folder, on the disk of the nearest one above it."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), Path("/"))
    return shutil.disk_usage(there).free


def full(where: str, folder: Path) -> ShortageError:
    """Return the one-line error for a disk with too little room."""
    hint = "free some space there and run the same command again"
    return ShortageError(
        f"{where} needs more room than the disk has", f"{in_words(free(folder))} left in {folder}", hint
    )


def in_words(free: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    for unit in ("bytes", "kB", "MB"):
        if free < 1000:
            return f"{free:.0f} {unit}"
        free /= 1000
    return f"{free:.1f} GB"


def _amount(text: str) -> str:
    """Return an amount from a library's message, with bytes such as `419430400 bytes` in a larger unit."""
    number, _, unit = text.partition(" ")
    return in_words(int(number)) if unit == "bytes" and number.isdigit() else text


def _disk(error: OSError, where: str, folder: Path | None) -> ShortageError:
    place = Path(error.filename).parent if isinstance(error.filename, str) else folder
    if place is not None and error.errno == errno.ENOSPC:
        return full(where, place)
    which = error.strerror or "an exhausted quota"
    got = which if place is None else f"{which} in {place}"
    return ShortageError(f"{where} needs more room than the disk has", got, "free some and run the same command again")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
