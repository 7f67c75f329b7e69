"""Files written beside their destination and renamed: a reader sees the old file or the new one, never a torn one."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from slimgen.errors import RunError

SUFFIX = ".tmp"  # what a process that was killed leaves behind ends in this


class Aside:
    """A binary file being written beside its destination, hashed on the way.

    Attributes:
        destination: where the file will be; may be changed until it is finished, within the same folder.
        digest: the sha256 of what was written so far.
        error: the first error of the disk. It is kept and raised at the end, because a writer in C++ that calls
            `write` may not survive an exception in the middle.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.digest = hashlib.sha256()
        self.error: OSError | None = None
        self.temporary = destination.with_name(f"{destination.name}.{os.getpid()}{SUFFIX}")
        # Unbuffered: a buffer that could not be written would be tried again, and fail again, when it is closed.
        self._file = open(self.temporary, "wb", buffering=0)  # noqa: SIM115 - closed by aside()

    def write(self, data: bytes | memoryview) -> int:
        """Appends bytes; after the disk failed once, only pretends to."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:])
                self.digest.update(view)
            except OSError as error:
                self.error = error
        return len(view)

    def flush(self) -> None:
        """Does nothing: what is written is already with the operating system."""

    def close(self) -> None:
        """Closes the file; what is on disk by then is whole or `error` says why not."""
        try:
            if self.error is None:
                os.fsync(self._file.fileno())
        except OSError as error:
            self.error = error
        finally:
            self._file.close()


@contextmanager
def aside(destination: Path) -> Iterator[Aside]:
    """Writes a file beside `destination`, and renames it when the block ends well.

    The file is on the disk (fsync) before it is renamed, and the folder after. Whatever goes wrong, the previous file
    stays as it was and no temporary one remains.

    Raises:
        OSError: the disk is full, a limit is reached, the folder is not writable.
    """
    file = Aside(destination)
    try:
        try:
            yield file
        finally:
            file.close()
        if file.error is not None:
            raise file.error
        os.replace(file.temporary, file.destination)
        sync_folder(destination.parent)
    finally:
        with suppress(OSError):
            file.temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot; the rename itself is done
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: object) -> object:
    """The JSON form of a value: mappings, sequences, paths and scalars (also numpy's and torch's).

    JSON has no NaN and no infinity: they become null.

    Raises:
        TypeError: a value that has no JSON form.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for name in ("tolist", "item"):  # arrays and tensors of any shape, then scalars
        convert = getattr(value, name, None)
        if callable(convert):
            return plain(convert())
    raise TypeError(f"no JSON form: {type(value).__name__}")


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes a value as indented JSON, aside and renamed.

    Raises:
        RunError: the file cannot be written.
        TypeError: a value that has no JSON form.
    """
    path = Path(path)
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with aside(path) as file:
            file.write(text.encode(errors="surrogatepass"))
    except OSError as error:
        raise RunError(f"{path.name} must be written", error, "free some space, or choose another --out") from error


def read_json(path: str | os.PathLike[str]) -> object | None:
    """What a JSON file holds, or None if there is none or it is damaged."""
    try:
        value: object = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return value
