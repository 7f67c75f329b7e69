"""What a stage wrote and from what: names, digests, versions, and the fingerprint that says whether to run again."""

import fnmatch
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TypedDict, cast

import slimgen
from slimgen.errors import RunError
from slimgen.files import CHECKPOINTS, STAGE, SUFFIX, log_file, plain, read_json, sha256_file
from slimgen.run.lock import NAME as LOCK

LOGS = ("log.jsonl", log_file("*"))
LAYOUT = 2
"""How a stage's folder is laid out, and its fingerprint made. A record without one is of the first."""


class Output(TypedDict):
    """One file that a stage wrote."""

    sha256: str
    bytes: int


class Record(TypedDict, total=False):
    """What `stage.json` holds. Until the stage has finished: everything up to `status`."""

    layout: int
    stage: str
    fingerprint: str
    finished: bool
    found: dict[str, list[int]]  # files that were there before the stage: [bytes, time of change in ns]
    recipe: str
    inputs: dict[str, str]  # digests of what was read
    seed: int
    group: str  # what the stages of one run have in common
    tags: dict[str, str]  # recipe, method, task, revision and the like, by which runs are found again
    settings: dict[str, object]  # the parts of the recipe that the stage reads
    started: float  # seconds since 1970
    ended: float
    status: str  # how a stage ended that did not finish: FAILED or KILLED
    seconds: float
    metrics: dict[str, object]
    outputs: dict[str, Output]
    digest: str  # of all outputs
    versions: dict[str, str]
    machine: dict[str, object]


def fingerprint(stage: str, sections: Mapping[str, object], inputs: Mapping[str, str]) -> str:
    """What a stage's result depends on, as 64 hexadecimal digits: equal if and only if it need not run again.

    That is its name, the sections of the recipe that it reads, in whatever order, and the digest of each input folder.
    """
    parts = {"stage": stage, "sections": plain(sections), "inputs": plain(inputs)}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_folder(path: str | os.PathLike[str]) -> str:
    """The digest of a folder's content: names and bytes, not times, owners or what a run leaves beside its outputs.

    Of a finished stage these are the outputs it recorded, so a file that somebody adds later changes nothing.

    Raises:
        RunError: no such folder, or a recorded output is missing.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise RunError("an input must be an existing folder", folder, "run the stage before this one first")
    record = read_record(folder)
    names = sorted(record["outputs"]) if record.get("finished") else sorted(content(folder))
    try:
        return digest({name: sha256_file(folder / name) for name in names})
    except OSError as error:
        raise RunError("every file of an input must be readable", error, "run the stage that wrote it again") from error


def machine() -> dict[str, object]:
    """The facts about this machine that a duration depends on: processor, threads, accelerator, precision."""
    import torch

    facts: dict[str, object] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
    }
    if torch.cuda.is_available():
        facts["cuda"] = torch.version.cuda
        facts["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return facts


def versions() -> dict[str, str]:
    """The versions that a result depends on: slimgen, Python, torch and numpy."""
    libraries = {name: metadata.version(name) for name in ("torch", "numpy")}
    return {"slimgen": slimgen.__version__, "python": platform.python_version(), **libraries}


def read_record(folder: Path) -> Record:
    """What `stage.json` of a folder says; empty if there is none, or it is damaged or not to be believed."""
    record = read_json(folder / STAGE)
    if not isinstance(record, dict) or not isinstance(record.get("stage"), str):
        return {}
    outputs = record.get("outputs", {} if not record.get("finished") else None)
    if not isinstance(outputs, dict) or not isinstance(record.get("found", {}), dict):
        return {}
    for name, output in outputs.items():
        # The names are joined to the folder, and removed: none may lead out of it.
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not isinstance(output, dict) or "bytes" not in output:
            return {}
    return cast(Record, record)


def require_layout(folder: Path, hint: str = "it is kept; name another --out or move it away") -> None:
    """Raises RunError where a slimgen of another layout wrote a stage's folder: its results are not comparable."""
    record = read_record(folder)
    if record and record.get("layout") != LAYOUT:
        which = "an earlier" if record.get("layout", 1) < LAYOUT else "a later"
        raise RunError(f"{folder} was written by {which} slimgen", hint=hint)


def content(folder: Path) -> set[str]:
    """The files of a folder, as relative names with `/`, without what a run leaves beside its outputs."""
    return {name for name in walk(folder) if not (is_beside(name) or fnmatch.fnmatch(name, "*.log"))}


def is_beside(name: str) -> bool:
    """Whether a relative name is a run's own: stage.json, lock, logs, checkpoints and files half written."""
    path = PurePosixPath(name)
    if path.parts[0] == CHECKPOINTS or name in (STAGE, LOCK):
        return True
    return any(fnmatch.fnmatch(path.name, log) for log in LOGS) or bool(re.search(rf"\.\d+{SUFFIX}$", name))


def walk(folder: Path) -> Iterator[str]:
    """Every file below a folder, through links to folders too, but each folder once."""
    seen = set()
    for place, inside, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inside.clear()
            continue
        seen.add(real)
        inside.sort()
        for name in names:
            path = Path(place, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def digest(files: Mapping[str, str]) -> str:
    """One digest of many files, given the sha256 of each by name."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
