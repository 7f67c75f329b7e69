"""Memory or a disk that ran out, told from whatever a library makes of it."""

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from slimgen.errors import RunError

FULL = (errno.ENOSPC, errno.EDQUOT)
# As PyTorch on either device, its libraries, onnxruntime, the C++ library and the loader of libraries have it.
_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory|failed to allocate memory|bad_alloc|"
    r"_ALLOC_FAILED|failed to map segment|can't start new thread",
    re.IGNORECASE,
)
_ASKED = re.compile(r"(?:tried to allocate|unable to allocate|requested) ([\d.]+ ?\w+)", re.IGNORECASE)


class ShortageError(RunError):
    """More memory, or more room on a disk, than there is."""


def shortage(
    error: BaseException, where: str, folder: Path | None = None, hint: str | None = None
) -> ShortageError | None:
    """The one line for an error at whose root memory or a disk ran out; None for any other.

    Args:
        error: as it arrived, with its causes.
        where: what needs more than there is: `teach`.
        folder: on the disk that was written to.
        hint: what to do where it is memory.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            return _disk(cause, where, folder)
        if short_of_memory(cause):
            which = "the GPU" if re.search("CUDA|CUDNN|CUBLAS|HIP", str(cause)) else "this machine or its limit"
            asked = _ASKED.search(str(cause))
            got = f"no room for another {_amount(asked[1])}" if asked else type(cause).__name__
            hint = hint or "close what else uses memory"
            return ShortageError(f"{where} needs more memory than {which} has", got, hint)
    return None


def short_of_memory(error: BaseException) -> bool:
    """Whether an error, whatever its class, says that there is no memory left, of the host or of a GPU."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # A user's fault that only quotes such words is told as what it is.
    return isinstance(error, RuntimeError | ImportError | SystemError) and bool(_MEMORY.search(str(error)))


def free(folder: Path) -> int:
    """The bytes that are left on a folder's disk; of the nearest folder above that is there."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), Path("/"))
    return shutil.disk_usage(there).free


def full(where: str, folder: Path) -> ShortageError:
    """The one line for a disk with too little room."""
    hint = "free some space there and run the same command again"
    return ShortageError(f"{where} needs more room than the disk has", f"{_words(free(folder))} left in {folder}", hint)


def _words(free: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if free < 1000:
            return f"{free:.0f} {unit}"
        free /= 1000
    return f"{free:.1f} GB"


def _amount(text: str) -> str:
    """An amount as a library has it, in words where that is bytes: `419430400 bytes`."""
    number, _, unit = text.partition(" ")
    return _words(int(number)) if unit == "bytes" and number.isdigit() else text


def _disk(error: OSError, where: str, folder: Path | None) -> ShortageError:
    place = Path(error.filename).parent if isinstance(error.filename, str) else folder
    if place is not None and error.errno == errno.ENOSPC:
        return full(where, place)
    which = error.strerror or "a used up quota"
    got = which if place is None else f"{which} in {place}"
    return ShortageError(f"{where} needs more room than the disk has", got, "free some and run the same command again")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
