"""Record of a stage: its outputs and inputs with digests, versions, and the fingerprint that decides a rerun."""

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
from slimgen.files import (
    CHECKPOINTS,
    OWN,
    STAGE,
    STORE,
    SUFFIX,
    is_own,
    log_file,
    log_picture,
    plain,
    read_json,
    sha256_file,
    sha256_once,
)
from slimgen.run.lock import NAME as LOCK

LOGS = ("log.jsonl", log_file("*"), log_picture("*", -1))
HALF_WRITTEN = re.compile(rf"\.\d+{re.escape(SUFFIX)}$")
LAYOUT = 2
"""Version of the files in a stage's folder and of its fingerprint. A record without one has version 1."""


LOOKED_AT = (".html", ".md", ".png", "card.json", "card_reverse.json")
"""Suffixes of outputs that no stage computes from; the names and words in them may change."""
HEAD = {"stage": str, "fingerprint": str, "finished": bool}
WHOLE = {"outputs": dict, "digest": str, "metrics": dict, "inputs": dict}
"""Required entries of a record and their types: in every record, and in those of finished stages."""


class Output(TypedDict):
    """One file that a stage wrote."""

    sha256: str
    bytes: int


class Record(TypedDict, total=False):
    """Content of `stage.json`; until the stage has finished, only the entries up to `status`."""

    layout: int
    stage: str
    fingerprint: str
    finished: bool
    found: dict[str, list[int]]  # files that were there before the stage: [bytes, time of change in ns]
    recipe: str
    inputs: dict[str, str]  # digests of the inputs
    seed: int
    group: str  # common to the stages of one run
    label: dict[str, str | None]  # displayed name of the run, licence of the images
    tags: dict[str, str]  # recipe, method, task, revision and the like, by which runs are found again
    settings: dict[str, object]  # the parts of the recipe that the stage reads
    processes: int  # number that ran the stage together
    started: float  # seconds since 1970
    ended: float
    status: str  # FAILED or KILLED, if the stage did not finish
    seconds: float
    metrics: dict[str, object]
    outputs: dict[str, Output]
    digest: str  # one digest of all outputs
    versions: dict[str, str]
    machine: dict[str, object]


def fingerprint(stage: str, sections: Mapping[str, object], inputs: Mapping[str, str]) -> str:
    """Return a digest, 64 hexadecimal digits, of all that a stage's result depends on; if equal, it need not rerun.

    These are its name, the sections of the recipe that it reads, in any order, and the digest of each input folder.
    """
    parts = {"stage": stage, "sections": plain(sections), "inputs": plain(inputs)}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def require_whole(folder: Path) -> Record:
    """Return the record of a finished stage after checking its files' SHA-256; each file is read once per process.

    Files for people, such as the report, are not checked: no stage reads them, and they may be edited.

    Raises:
        RunError: a file is missing or has changed, or the record's digest is wrong.
    """
    record = read_record(folder)
    stage, outputs = record["stage"], record["outputs"]
    remedy = f"put it back from a copy, or move {folder} away and run slimgen {stage} again"
    if digest({name: output["sha256"] for name, output in outputs.items()}) != record["digest"]:
        raise RunError(f"the digest in {folder / STAGE} must be that of its outputs", "another one", remedy)
    for name, output in outputs.items():
        path = folder / name
        if name.endswith(LOOKED_AT):
            continue
        try:
            same = path.stat().st_size == output["bytes"] and sha256_once(path) == output["sha256"]
        except OSError as error:
            raise RunError(f"every file that {stage} wrote must be readable", error, remedy) from error
        if not same:
            raise RunError(f"{path} must be unchanged since {stage} wrote it", "another SHA-256", remedy)
    return record


def digest_folder(path: str | os.PathLike[str]) -> str:
    """Return the digest of a folder's names and bytes, without times, owners and a run's own files.

    In the folder of a finished stage only the recorded outputs count, so a file that is added later changes nothing.

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
    """Return the facts about this machine that a duration depends on: processor, threads, accelerator, precision."""
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
    """Return the versions that a result depends on: slimgen, Python, torch and numpy."""
    libraries = {name: metadata.version(name) for name in ("torch", "numpy")}
    return {"slimgen": slimgen.__version__, "python": platform.python_version(), **libraries}


def read_record(folder: Path) -> Record:
    """Return the content of a folder's `stage.json`; empty if it is missing, damaged or implausible."""
    value = read_json(folder / STAGE)
    return {} if _fault(value) else cast(Record, value)


def name_of(folder: Path) -> str:
    """Return the displayed name of a stage's run; without a record, the name of the run's folder."""
    return str(read_record(folder).get("label", {}).get("name") or folder.resolve().parent.name)


def require_sound(folder: Path, hint: str) -> None:
    """Raise RunError if `stage.json` is implausible, or if the folder has another layout."""
    if not (folder / STAGE).exists():
        return
    if fault := _fault(read_json(folder / STAGE)):
        raise RunError(f"{folder / STAGE} must be a stage's record", fault, hint)
    require_layout(folder, hint)


def _fault(value: object) -> str | None:
    """Return why a value is no record, or None; for another layout, only harmful parts are checked."""
    if not isinstance(value, dict) or not isinstance(value.get("stage"), str):
        return "no JSON with the name of a stage"
    finished, layout = value.get("finished"), value.get("layout", 1)
    if layout == LAYOUT:
        missing = [key for key in (*HEAD, *(WHOLE if finished else ())) if key not in value]
        wrong = [key for key, kind in {**HEAD, **WHOLE}.items() if key in value and not isinstance(value[key], kind)]
        if missing or wrong:
            return f"no {missing[0]!r}" if missing else f"{wrong[0]!r} of another type"
    outputs = value.get("outputs", None if finished else {})
    if not isinstance(layout, int) or not isinstance(outputs, dict) or not isinstance(value.get("found", {}), dict):
        return "'outputs', 'found' or 'layout' of another type"
    for name, output in outputs.items():
        # Files of these names in the folder may be removed: no name may lead out of it.
        path, whole = PurePosixPath(name), isinstance(output, dict) and isinstance(output.get("bytes"), int)
        if path.is_absolute() or ".." in path.parts or not whole or not isinstance(output.get("sha256"), str):
            return f"no size and SHA-256 of the output {name!r}"
    return None


def apart(folders: Mapping[str, Path]) -> list[str]:
    """Return a sentence for each stage that was computed from other inputs than the ones here."""
    records = {name: record for name, folder in folders.items() if (record := read_record(folder)).get("finished")}
    found: dict[str, list[str]] = {}
    for name, record in records.items():
        for other, digest in record["inputs"].items():
            if other in records and records[other]["digest"] != digest:
                found.setdefault(other, []).append(name)
    return [f"Computed from another {other} than is there now: {', '.join(names)}." for other, names in found.items()]


def recorded(folder: Path, section: str, name: str) -> object:
    """Return one value of a finished stage's record; raise RunError if it is missing."""
    try:
        return cast(Mapping[str, Mapping[str, object]], read_record(folder))[section][name]
    except KeyError:
        hint = f"move {folder} away and run the stage again"
        raise RunError(f"{folder / STAGE} must be complete", f"no {name!r} among its {section}", hint) from None


def require_layout(folder: Path, hint: str = "it is kept; name another --out or move it away") -> None:
    """Raise RunError if a stage's folder has another layout: its results are not comparable."""
    record = read_record(folder)
    if record and record.get("layout") != LAYOUT:
        which = "an earlier" if record.get("layout", 1) < LAYOUT else "a later"
        raise RunError(f"{folder} was written by {which} slimgen", hint=hint)


def content(folder: Path) -> set[str]:
    """Return the files of a folder as relative names with `/`, without a run's own files."""
    return {name for name in walk(folder) if not (is_beside(name) or is_log(name))}


def is_log(name: str) -> bool:
    """Return whether a relative name is that of a log written by a shell or a scheduler."""
    return fnmatch.fnmatch(name, "*.log")


def sweep(folder: Path) -> list[Path]:
    """Remove temporary files of a killed process, and return them; no other process may work in the folder."""
    found = [Path(place, name) for place, _, names in os.walk(folder) for name in names if HALF_WRITTEN.search(name)]
    for path in found:
        path.unlink(missing_ok=True)
    return found


def is_beside(name: str) -> bool:
    """Return whether a relative name is a run's own: stage.json, lock, logs, checkpoints and temporary files."""
    path = PurePosixPath(name)
    if path.parts[0] == CHECKPOINTS or name in (STAGE, LOCK, OWN):
        return True
    return any(fnmatch.fnmatch(path.name, log) for log in LOGS) or bool(HALF_WRITTEN.search(name))


def walk(folder: Path) -> Iterator[str]:
    """Yield every file below a folder, through links to folders too, each folder once, without other stages'."""
    seen = set()
    for place, inside, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(name for name in inside if not is_own(Path(place, name)))
        for name in names:
            path = Path(place, name)
            if path.is_file() and not name.startswith(STORE):
                yield path.relative_to(folder).as_posix()


def digest(files: Mapping[str, str]) -> str:
    """Return one digest of many files, given the SHA-256 of each by name."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
