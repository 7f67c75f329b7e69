"""`slimgen curves`: course and result of a run as CSV and JSON."""

from pathlib import Path
from typing import Annotated

import typer

from slimgen.errors import printable


def curves(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Folder to write to; by default RUN/curves.")
    ] = None,
) -> None:
    """Write a run's learning curves, front and figures as CSV and JSON.

    DVC's plots and metrics are made of them, for each recipe in params.yaml.
    """
    from slimgen.report.curves import write_curves

    for path in write_curves(run, run / "curves" if out is None else out):
        typer.echo(printable(str(path)))
