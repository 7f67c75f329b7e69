"""Places where a stage may write, and parked folders beside them with results of other settings."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from slimgen.errors import RunError
from slimgen.files import CHECKPOINTS, STAGE
from slimgen.run.record import content, is_beside, is_log, read_record, require_sound

KEPT = "it is kept; name another --out or move it away"
PARKED = re.compile(r".+\.(?P<of>[0-9a-f]{12})(-\d+)?")


def parked(out: Path, fingerprint: str) -> Path:
    """Return the parked folder of a fingerprint, beside the stage's folder."""
    out = out.resolve()
    return out.with_name(f"{out.name}.{_word(fingerprint)}")


def is_parked(folder: Path) -> bool:
    """Return whether a folder is a parked one by its name and record, or by its name if it is empty."""
    named, record = PARKED.fullmatch(folder.name), read_record(folder)
    if named is None or not folder.is_dir():
        return False
    if record:
        return named["of"] == _word(record["fingerprint"])
    return not (folder / STAGE).exists() and not content(folder)


def require_place(out: Path, stage: str, inputs: Mapping[str, Path]) -> None:
    """Raise RunError if a stage's folder is, contains or lies in an input, or is another stage's or a user's.

    Args:
        out: where the stage is to write.
        stage: its name.
        inputs: the folders that it reads, by the names of their options.
    """
    for name, folder in inputs.items():
        require_apart(out, name, folder)
    for above in out.resolve().parents:
        if record := read_record(above):
            inside = f"{out}, inside {above} of a {record['stage']} stage"
            raise RunError("--out must lie outside the folders of other stages", inside, "name another --out")
    require_sound(out, KEPT)
    record = read_record(out)
    if record and record["stage"] != stage:
        got = f"{out}, of a {record['stage']} stage"
        raise RunError(f"--out must be the folder of a {stage} stage, or a new one", got, KEPT)
    if not record and (foreign := next(_foreign(out), None)):
        got = f"{out}, which holds {foreign}"
        raise RunError("--out must be a new folder, an empty one, or one that slimgen wrote", got, "name another --out")


def require_apart(out: Path, name: str, folder: Path) -> None:
    """Raise RunError if a folder to write into is, contains or lies in an input."""
    here, there, hint = out.resolve(), folder.resolve(), "name another --out"
    if here == there:
        raise RunError(f"--out must be another folder than --{name}", out, hint)
    if here.is_relative_to(there):
        raise RunError(f"--out must lie outside --{name}", f"{out}, inside {folder}", hint)
    if there.is_relative_to(here):
        raise RunError(f"--out must not contain --{name}", f"{out}, which contains {folder}", hint)


def free_name(folder: Path) -> Path:
    """Return a folder's name, with a number if that folder exists."""
    found, number = folder, 1
    while os.path.lexists(found):
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _word(fingerprint: str) -> str:
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:12]


def _foreign(out: Path) -> Iterator[str]:
    """Return files that no stage wrote in a folder without a record, except hidden, temporary and log files."""
    for place, inside, names in os.walk(out):
        links = [name for name in inside if os.path.islink(os.path.join(place, name))]
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name != CHECKPOINTS)
        for name in sorted(names + links):
            found = Path(place, name).relative_to(out).as_posix()
            if not (name.startswith(".") or is_beside(found) or is_log(found)):
                yield found
