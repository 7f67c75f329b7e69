"""Files written beside their destination and renamed: a reader sees the old file or the new one, never a torn one.

The names of all artifacts are defined here too, shared by the stage that writes one and the stages that read it.
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
OWN = ".slimgen"  # marks a folder of pictures that were drawn for a run
STORE = "mlflow.db"  # prefix of the files of MLflow's store
MANIFEST = "manifest.json"  # of prepare
GENERATOR, DISCRIMINATOR = "generator.safetensors", "discriminator.safetensors"  # of teach and supernet
ORIGIN = "origin.json"  # of teach: imported parts and their files
UPDATES = "updates.json"  # of supernet: updates of each part
TRACE, LOGITS = "relaxation.jsonl", "logits.safetensors"  # of supernet, where it is trained with a relaxation
ROUNDS, CACHE = "log-rounds.jsonl", "cache.jsonl"  # of search: the state from which it resumes
GENOTYPE, TRIALS, PARETO = "genotype.json", "trials.jsonl", "pareto.csv"  # of search
TRAINED = "trained.safetensors"  # of search: the winner's weights, where the search trained it as fine-tuning would
LATENCY = "latency.json"  # of search: milliseconds of the pieces of networks
FRONT, ARCHITECTURE, RELAXATION = "pareto.png", "architecture.png", "relaxation.png"  # of search, to look at
NARROWED = "narrowed.json"  # of finetune: the narrowed network that was measured to be as fast as the found one
FILTERS = "filters.png"  # of finetune: the first layer's filters, and which of them stay
NETWORKS = "networks.json"  # of finetune: family and options of the networks whose weights lie beside it
TABLE, METRICS, SAMPLES, GRID, REPORT = "table.json", "metrics.json", "samples.npz", "grid.png", "report.html"
ONNX, CARD = "generator.onnx", "card.md"  # of export
REVERSE = "_reverse"  # ends the names of files of the reverse direction

SUFFIX = ".tmp"  # ends the names of files that a killed process leaves behind
TICK = 20_000_000  # nanoseconds; times in file systems are no finer than a few milliseconds
_hashed: dict[tuple[int, ...], str] = {}  # files read in this process: device, inode, size and times, to sha256


def weights_file(name: str) -> str:
    """Return the name of the weights file of a network, such as `generator` or `found`."""
    return f"{name}.safetensors"


def array_file(split: str, side: str) -> str:
    """Return the name of the array file of a split's `input` or `target` images."""
    return f"{split}.{side}.npy"


def variant_file(name: str) -> str:
    """Return the name of an exported file in the number format `fp32`, `fp16` or `int8`, or of an edition."""
    return ONNX if name == "fp32" else of_direction(ONNX, f"_{name}")


def of_direction(file: str, suffix: str) -> str:
    """Return a file name with a direction's suffix before its ending: `generator_reverse.onnx`."""
    stem, dot, ending = file.partition(".")
    return f"{stem}{suffix}{dot}{ending}"


def log_file(name: str) -> str:
    """Return the name of the log of one training or search of a stage."""
    return f"log-{name}.jsonl"


def log_picture(name: str, step: int) -> str:
    """Return the name of the picture that a training drew after some steps, or, with `*` and -1, that of all."""
    return f"log-{name}.{'*' if step < 0 else f'{step:07d}'}.png"


def is_own(folder: Path) -> bool:
    """Return whether slimgen or MLflow wrote a folder among images: a stage, drawn pictures, a store's artifacts."""
    if folder.name == "mlartifacts":
        return (folder.parent / STORE).is_file()
    if (folder / OWN).is_file():
        return True
    record = read_json(folder / STAGE) if (folder / STAGE).is_file() else None
    return isinstance(record, dict) and {"stage", "fingerprint"} <= record.keys()


def is_file(path: Path | str) -> bool:
    """Return whether a file has that name; False for a name that no file can have, such as one that is too long."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


class Aside:
    """Binary file that is written beside its destination and hashed on the way.

    The destination may change within its folder until the file is finished. The first disk error is kept and raised at
    the end, because a C++ writer that calls `write` may not survive an exception.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.digest = hashlib.sha256()
        self.error: OSError | None = None
        self.temporary = destination.with_name(f"{destination.name}.{os.getpid()}{SUFFIX}")
        # Unbuffered: a buffer that cannot be written would be written again, and fail again, when the file is closed.
        self._file = open(self.temporary, "wb", buffering=0)  # noqa: SIM115 - closed by aside()

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; after a disk error, ignore them."""
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
        """Do nothing: the file is unbuffered."""

    def close(self) -> None:
        """Close the file; it is complete unless `error` is set."""
        self._file.close()


@contextmanager
def aside(destination: Path) -> Iterator[Aside]:
    """Write a file beside `destination`, and rename it when the block ends without an error.

    The file is synced (fsync) before the rename, and the folder after it. On any error the previous file stays as it
    was, and no temporary file remains.

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
    """Rename a written and closed file to its destination, and sync file and folder to the disk."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, destination)
    sync_folder(destination.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that renames inside it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot sync; the rename itself is done
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """Return the sha256 as `sha256_file` does; an unchanged file is read only once in this process."""
    before = path.stat()
    mark = before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns
    known = _hashed.get(mark)
    if known is None:
        known = sha256_file(path)
        # A file written within the clock's last tick may be written again without a change of its times.
        if time.time_ns() - max(mark[3:]) > TICK:
            _hashed[mark] = known
    return known


def plain(value: object) -> object:
    """Return the JSON form of a value: mapping, sequence, path or scalar, also of numpy and torch.

    NaN and infinity, which JSON lacks, become null.

    Raises:
        TypeError: the value has no JSON form.
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
    """Write a file aside and rename it; raise RunError where that fails, which leaves a previous file untouched."""
    path = Path(path)
    try:
        with aside(path) as file:
            file.write(content)
    except OSError as error:
        raise RunError(
            f"cannot write {path.name}: {error}", None, "free some space, or choose another --out"
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8 with `write_bytes`."""
    write_bytes(path, text.encode(errors="surrogatepass"))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write a value as indented JSON with `write_bytes`; raise TypeError for a value without a JSON form."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_lines(path: str | os.PathLike[str], values: Iterable[object]) -> None:
    """Write values as lines of JSON; see `write_json`."""
    write_text(path, "".join(json.dumps(plain(v), ensure_ascii=False, allow_nan=False) + "\n" for v in values))


def append_line(path: Path, line: str) -> None:
    """Append a line to a file and sync it to the disk; file and folder are created where missing.

    Raises:
        OSError: the disk is full; the file may then end in a torn line.
    """
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    if new:  # a new name is safe only after its folder is synced too
        sync_folder(path.parent)


def read_json(path: str | os.PathLike[str]) -> object | None:
    """Return the value in a JSON file; None if the file is missing, damaged, or nested too deeply."""
    with suppress(OSError, ValueError, RecursionError):
        value: object = json.loads(Path(path).read_bytes())
        return value
    return None
