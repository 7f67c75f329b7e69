"""`slimgen tidy`: removes results of other settings, and files that killed processes left."""

from pathlib import Path
from typing import Annotated

import typer

from slimgen.errors import RunError
from slimgen.files import STAGE

RUNS = Path("runs")


def tidy(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run folders; by default all in the folder runs.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List leftovers without removing them.")] = False,
) -> None:
    """Remove leftovers: results of other settings, half-written files.

    Runs keep results of other settings beside their own, and killed processes leave files half written. Folders that a
    process is working in stay, and so does every file that slimgen did not write.
    """
    from slimgen.report.words import size
    from slimgen.run.tidy import leftovers

    for run in runs or ():
        if not [*run.glob(f"*/{STAGE}")]:
            raise RunError("a run folder must hold stages", f"no {STAGE} in the folders of {run}")
    folders = runs or (sorted(path for path in RUNS.iterdir() if path.is_dir()) if RUNS.is_dir() else [])
    found = [left for run in folders for left in leftovers(run)]
    for left in found:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {left.path}, {size(left.bytes)}: {left.about}")
        for kept in [] if dry_run else left.remove():
            typer.echo(f"kept {kept}, which slimgen did not write")
    if not found:
        typer.echo("nothing to tidy")
