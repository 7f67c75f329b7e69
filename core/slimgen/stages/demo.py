"""The page of a finished run: its networks, the original among them, in a folder that a browser opens offline."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from slimgen import __version__
from slimgen.demo import page as pages
from slimgen.demo.folder import is_current, require_own, write_folder
from slimgen.demo.runtime import Runtime, find_runtime
from slimgen.errors import RunError
from slimgen.report.words import size as filesize
from slimgen.run.place import require_apart
from slimgen.run.record import Record, apart, read_record, require_layout, require_whole
from slimgen.stages.demo_contents import Contents, Say

NEEDED = ("prepare", "teach", "finetune", "export")
"""The stages that a page is made of."""


def demo(run: Path, out: Path | None = None, runtime: Path | None = None, say: Say = lambda line: None) -> Path:
    """Write the page of a finished run, and return its folder; one that is current already is left as it is.

    Args:
        run: the run's folder.
        out: the folder to write; by default `demo` in the run's.
        runtime: a package of onnxruntime-web that the user brought; by default the pinned one.
        say: prints a line for the user.

    Raises:
        RunError: the run is not finished, or damaged; the runtime is not to be had; or `out` is another's folder.
        ExportError: the original cannot be expressed in ONNX.
    """
    records, folder = finished(run), out or run / "demo"
    for name in NEEDED:
        require_apart(folder, name, run / name)
    require_own(folder)
    for line in apart({name: run / name for name in NEEDED}):
        say(f"warning: {line}")
    found = find_runtime(runtime, say)
    if found.note:
        say(f"note: {found.note}")
    mark = _made_of(records, found)
    if is_current(folder, mark):
        say(f"{folder} is up to date")
        return folder
    for name in ("teach", "finetune", "export"):
        require_whole(run / name)
    size = write_folder(folder, mark, pages.files(Contents(run, records["export"], say).page(found)))
    say(f"wrote {folder}, {filesize(size)}")
    return folder


def finished(run: Path) -> dict[str, Record]:
    """Return the records of the stages that a page needs; raise RunError unless all of them are finished."""
    if not run.is_dir():
        raise RunError("a page is made of a finished run", f"no folder {run}", "check the path")
    records = {name: read_record(run / name) for name in NEEDED}
    for name, record in records.items():
        require_layout(run / name)
        if not record.get("finished"):
            came = f"no finished stage {name} in {run}"
            raise RunError("a page is made of a finished run", came, "run `slimgen run RECIPE` to the end first")
    return records


def _made_of(records: Mapping[str, Record], runtime: Runtime) -> str:
    """Return the digest of all that a page depends on: stages, what the card says, code, texts and runtime."""
    digest = hashlib.sha256(f"{__version__} {runtime.version}".encode())
    for name, record in records.items():
        cards = {file: about for file, about in record["outputs"].items() if file.startswith("card")}
        digest.update(json.dumps([name, record["digest"], cards, record.get("label")], sort_keys=True).encode())
    for name in (*pages.SOURCES, "style.css", "index.html"):
        digest.update(pages.source(name))
    return digest.hexdigest()
