"""Folder of a page: written aside and renamed, and never over files that slimgen did not write."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from slimgen.demo.parts import Script
from slimgen.errors import RunError
from slimgen.files import SUFFIX, read_json, sha256_file, sync_folder, write_bytes, write_json

MARK = "demo.json"
"""Record of a page: what it was made of, and the sha256 of its files."""
_ELSEWHERE = "name another --out, or move it away"


def require_own(out: Path) -> None:
    """Raise RunError unless a folder is new, empty, or a page whose files are all slimgen's."""
    if not os.path.lexists(out):
        return
    if not out.is_dir() or out.is_symlink():
        raise RunError("--out must be a folder", f"{out}, which is none", _ELSEWHERE)
    known = {MARK, *_files(out)}
    there = [Path(place, name).relative_to(out).as_posix() for place, _, names in os.walk(out) for name in names]
    if foreign := sorted(name for name in there if name not in known):
        rule = "--out must be a new folder, an empty one, or a page that slimgen wrote"
        raise RunError(rule, f"{out}, which holds {foreign[0]}", _ELSEWHERE)


def is_current(out: Path, made_of: str) -> bool:
    """Return whether a page was made of the same, and none of its files has changed."""
    record = read_json(out / MARK)
    if not isinstance(record, dict) or record.get("made_of") != made_of:
        return False
    with suppress(OSError):
        return all(sha256_file(out / name) == digest for name, digest in _files(out).items())
    return False


def write_folder(out: Path, made_of: str, files: Iterable[Script]) -> int:
    """Write a page's folder and return its bytes; a page that was there is replaced once the new one is complete.

    Args:
        out: the folder.
        made_of: digest of all that the page is made of.
        files: its files, asked for one after the other.

    Raises:
        RunError: the folder holds files that slimgen did not write, or the disk is full.
    """
    require_own(out)
    aside = out.with_name(f"{out.name}.{os.getpid()}{SUFFIX}")
    before = out.with_name(f"{out.name}.{os.getpid()}.before{SUFFIX}")
    digests, total = {}, 0
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for file, content in files:
            (aside / file).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(aside / file, content)
            digests[file], total = sha256_file(aside / file), total + len(content)
        write_json(aside / MARK, {"made_of": made_of, "files": digests})
        require_own(out)  # again: making the files took a while
        if out.exists():
            os.rename(out, before)
        try:
            os.rename(aside, out)
        except OSError:
            if before.exists():
                os.rename(before, out)
            raise
        sync_folder(out.parent)
    except OSError as error:
        raise RunError(f"cannot write the page to {out}", error, "free some space, or choose another --out") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if out.exists():
            shutil.rmtree(before, ignore_errors=True)
    return total


def _files(out: Path) -> dict[str, str]:
    """Return the sha256 of each file of a page, as its record has it; empty without one."""
    record = read_json(out / MARK)
    files = record.get("files") if isinstance(record, dict) else None
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}
