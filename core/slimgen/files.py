"""Files written beside their destination and renamed: a reader sees the old file or the new one, never a torn one.

Here, too, are the names of all artifacts: what a stage writes under one of them, a later stage finds under the same.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from slimgen.errors import RunError

STAGE, CHECKPOINTS = "stage.json", "checkpoints"  # of every stage
OWN = ".slimgen"  # of a folder of pictures that were drawn for a run
STORE = "mlflow.db"  # how the names of the files of MLflow's store begin
MANIFEST = "manifest.json"  # of prepare
GENERATOR, DISCRIMINATOR = "generator.safetensors", "discriminator.safetensors"  # of teach and supernet
ORIGIN = "origin.json"  # of teach: what was imported, from where
UPDATES = "updates.json"  # of supernet: how often what was trained
TRACE, LOGITS = "relaxation.jsonl", "logits.safetensors"  # of supernet, where it is trained with a relaxation
ROUNDS, CACHE = "log-rounds.jsonl", "cache.jsonl"  # of search: what it goes on from
GENOTYPE, TRIALS, PARETO = "genotype.json", "trials.jsonl", "pareto.csv"  # of search
TRAINED = "trained.safetensors"  # of search: the weights of the winner, where it was trained as fine-tuning would
LATENCY = "latency.json"  # of search: the pieces of networks, in milliseconds
FRONT, ARCHITECTURE, RELAXATION = "pareto.png", "architecture.png", "relaxation.png"  # of search, to look at
NARROWED = "narrowed.json"  # of finetune: what is as fast as the found generator, once it was measured
NETWORKS = "networks.json"  # of finetune: how to build what the weights beside it are of
TABLE, METRICS, SAMPLES, GRID, REPORT = "table.json", "metrics.json", "samples.npz", "grid.png", "report.html"
ONNX, CARD = "generator.onnx", "card.md"  # of export
REVERSE = "_reverse"  # ends the names of what is of the reverse direction

SUFFIX = ".tmp"  # what a process that was killed leaves behind ends in this
TICK = 20_000_000  # nanoseconds; file systems tell times no finer than a few milliseconds
_hashed: dict[tuple[int, ...], str] = {}  # of files read in this process: device, inode, size and times, to sha256


def weights_file(name: str) -> str:
    """The file of the weights of a network, such as `generator` or `found`."""
    return f"{name}.safetensors"


def array_file(split: str, side: str) -> str:
    """The prepared images of a split: of its `input` or its `target`."""
    return f"{split}.{side}.npy"


def of_direction(file: str, suffix: str) -> str:
    """The name of a file of a direction, whose suffix comes before its ending: `generator_reverse.onnx`."""
    stem, dot, ending = file.partition(".")
    return f"{stem}{suffix}{dot}{ending}"


def log_file(name: str) -> str:
    """The log of one training or search of a stage."""
    return f"log-{name}.jsonl"


def is_own(folder: Path) -> bool:
    """Whether a folder among images is slimgen's or MLflow's: a stage's, drawn pictures, a store's artifacts."""
    if folder.name == "mlartifacts":
        return (folder.parent / STORE).is_file()
    if (folder / OWN).is_file():
        return True
    record = read_json(folder / STAGE) if (folder / STAGE).is_file() else None
    return isinstance(record, dict) and {"stage", "fingerprint"} <= record.keys()


def is_file(path: Path | str) -> bool:
    """Whether there is a file of that name; not so where no file can have it, such as one that is too long."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


class Aside:
    """A binary file being written beside its destination, hashed on the way.

    The destination may be changed until the file is finished, within the same folder. The first error of the disk is
    kept and raised at the end, because a writer in C++ that calls `write` may not survive an exception in the middle.
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
                error.filename = str(self.destination)  # where the disk is full
                self.error = error
        return len(view)

    def flush(self) -> None:
        """Does nothing: what is written is already with the operating system."""

    def close(self) -> None:
        """Closes the file; what was written by then is whole or `error` says why not."""
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
        publish(file.temporary, file.destination)
    finally:
        with suppress(OSError):
            file.temporary.unlink(missing_ok=True)


def publish(temporary: Path, destination: Path) -> None:
    """Makes a file that is written and closed its destination, for certain: file and folder are on the disk then."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, destination)
    sync_folder(destination.parent)


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


def sha256_once(path: Path) -> str:
    """As `sha256_file`, but a file that has not changed since is not read again in this process."""
    before = path.stat()
    mark = before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns
    known = _hashed.get(mark)
    if known is None:
        known = sha256_file(path)
        # What was written within the clock's last tick may be written again without a change of its times.
        if time.time_ns() - max(mark[3:]) > TICK:
            _hashed[mark] = known
    return known


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


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file, aside and renamed; RunError where it cannot be written, and what was there before is untouched."""
    path = Path(path)
    try:
        with aside(path) as file:
            file.write(content)
    except OSError as error:
        raise RunError(f"{path.name} must be written", error, "free some space, or choose another --out") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode(errors="surrogatepass"))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes a value as indented JSON, as `write_bytes` does; TypeError for a value that has no JSON form."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_lines(path: str | os.PathLike[str], values: Iterable[object]) -> None:
    """Writes values as lines of JSON, as `write_json` does one."""
    write_text(path, "".join(json.dumps(plain(v), ensure_ascii=False, allow_nan=False) + "\n" for v in values))


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file, which is made with its folder: it is on the disk when this returns.

    OSError where the disk is full; the file may then end in a torn line.
    """
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    if new:  # its name is safe only when its folder is synced too
        sync_folder(path.parent)


def read_json(path: str | os.PathLike[str]) -> object | None:
    """What a JSON file holds, or None if there is none or it is damaged, or nested without end."""
    with suppress(OSError, ValueError, RecursionError):
        value: object = json.loads(Path(path).read_bytes())
        return value
    return None
