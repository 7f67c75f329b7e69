"""`slimgen demo`: a page that tries a run's generators in a browser, offline."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder to write; by default RUN/demo.")
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--runtime",
            metavar="PACKAGE",
            help="An npm package onnxruntime-web, file or folder; by default npm fetches it once.",
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the page to this machine, with threads, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port of --serve; 0 takes any free one.")
    ] = 8000,
) -> None:
    """Write a page that tries the generators in a browser, offline.

    Draw label maps, drop pictures or choose noise, and compare original and found generator side by side, with their
    milliseconds. The folder works offline: open its index.html.
    """
    from slimgen.demo.server import serve as answer
    from slimgen.stages.demo import demo as write
    from slimgen.stages.work import say

    folder = write(run, out, runtime, say)
    typer.echo(str(folder / "index.html"))
    if serve:
        answer(folder, port, say)
