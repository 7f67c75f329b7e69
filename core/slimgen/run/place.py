"""Where a stage may write; and the folders beside it, parked, that hold what was computed with other settings."""

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
    """The folder beside a stage's folder for the computation of a fingerprint, while another is in that."""
    out = out.resolve()
    return out.with_name(f"{out.name}.{_word(fingerprint)}")


def is_parked(folder: Path) -> bool:
    """Whether a folder is a parked one by its name and its record, or by its name and because it holds nothing yet."""
    named, record = PARKED.fullmatch(folder.name), read_record(folder)
    if named is None or not folder.is_dir():
        return False
    if record:
        return named["of"] == _word(record["fingerprint"])
    return not (folder / STAGE).exists() and not content(folder)


def require_place(out: Path, stage: str, inputs: Mapping[str, Path]) -> None:
    """Raises RunError where a stage's folder would be an input, in one or around one, another stage's, or a user's.

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
    """Raises RunError where a folder to write into is an input, in it or around it."""
    here, there, hint = out.resolve(), folder.resolve(), "name another --out"
    if here == there:
        raise RunError(f"--out must be another folder than --{name}", out, hint)
    if here.is_relative_to(there):
        raise RunError(f"--out must lie outside --{name}", f"{out}, inside {folder}", hint)
    if there.is_relative_to(here):
        raise RunError(f"--out must not lie around --{name}", f"{out}, around {folder}", hint)


def free_name(folder: Path) -> Path:
    """A folder's name, with a number where there is such a folder already."""
    found, number = folder, 1
    while os.path.lexists(found):
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _word(fingerprint: str) -> str:
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:12]


def _foreign(out: Path) -> Iterator[str]:
    """Files that no stage left in a folder without a record: neither hidden, nor a log, nor half written."""
    for place, inside, names in os.walk(out):
        links = [name for name in inside if os.path.islink(os.path.join(place, name))]
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name != CHECKPOINTS)
        for name in sorted(names + links):
            found = Path(place, name).relative_to(out).as_posix()
            if not (name.startswith(".") or is_beside(found) or is_log(found)):
                yield found
