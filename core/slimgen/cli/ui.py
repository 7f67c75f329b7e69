"""`slimgen ui`: MLflow's pages on the project's store."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from slimgen.addresses import shown
from slimgen.errors import RunError
from slimgen.files import STAGE

RUNS = Path("runs")
WARNINGS = "ignore:starlette.middleware.wsgi is deprecated"
"""Filter for a warning of MLflow's server about its own code, which each of its processes would print."""
OPENING = """
import os, sys, time, urllib.request, webbrowser
parent, pages, address = int(sys.argv[1]), sys.argv[2], sys.argv[3]
while os.getppid() == parent:
    try:
        urllib.request.urlopen(pages + "/health", timeout=2).close()
        webbrowser.open(address)
        break
    except OSError:
        time.sleep(0.3)
"""
"""Program that waits for the server, as long as its parent lives, and opens an address in the browser."""


def ui(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Runs for --sync; by default all in runs."),
    ] = None,
    sync: Annotated[bool, typer.Option("--sync", help="Copy run folders into MLflow, and open nothing.")] = False,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="RUN", help="Show a run's candidates by quality, MACs and milliseconds."),
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open the address in the browser, too.")] = False,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open MLflow on all runs, with metrics, pictures and models."""
    from slimgen.run.tracking import candidates_view, create_store, generators_view, store

    uri = store()
    if sync:
        return copy(runs or sorted(path for path in RUNS.glob("*") if path.is_dir()))
    if runs:
        raise RunError("only --sync takes run folders", runs[0], "add --sync, or leave them out")
    chosen = None if compare is None else candidates_view(compare)
    if uri.startswith(("http://", "https://")):
        typer.echo(f"the runs are tracked at {shown(uri)}")
        if chosen is not None:
            typer.echo(f"candidates of {compare}: {shown(uri).rstrip('/')}{chosen}")
        return None
    # Before the pages' own processes open it at once; on a fresh project there is none yet.
    experiment = create_store()
    pages = f"http://{host}:{port}"
    listed = address(host, port, experiment)
    typer.echo(f"{listed} shows {shown(uri)}", err=True)
    if experiment is not None and (generators := generators_view()) is not None:
        typer.echo(f"generators, to sort by quality and time: {pages}{generators}", err=True)
    if chosen is not None:
        typer.echo(f"candidates of {compare}: {pages}{chosen}", err=True)
    return serve(uri, host, port, (listed if chosen is None else f"{pages}{chosen}") if browse else None)


def serve(uri: str, host: str, port: int, browsed: str | None) -> None:
    """Become MLflow's server; open `browsed` in the browser once it answers."""
    # MLflow is to report to nobody, here as in the stages.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Its workers for jobs that slimgen has none of take a minute to start, and stay behind when the pages are closed.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), WARNINGS)))
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ.setdefault("MLFLOW_REGISTRY_STORE_URI", uri)  # else it says that there is none
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # with its password, which is not for the list of processes
    if browsed is not None:
        subprocess.Popen([sys.executable, "-c", OPENING, str(os.getpid()), f"http://{host}:{port}", browsed])
    # One process serves one person; each further one would load all of MLflow again.
    quiet = ("--workers", "1", "--uvicorn-opts", "--log-level warning")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), *quiet]
    os.execv(sys.executable, command)


def address(host: str, port: int, experiment: str | None) -> str:
    """Return the address of the list of runs; without its last part, MLflow opens its pages for language models."""
    pages = f"http://{host}:{port}"
    return pages if experiment is None else f"{pages}/#/experiments/{experiment}/runs?workflowType=machine_learning"


def copy(runs: list[Path]) -> None:
    """Copy folders of runs, or of stages, into MLflow, one after the other."""
    from slimgen.run.tracking import sync

    if not runs:
        raise RunError("there must be runs to sync", f"no folder in {RUNS}/", "name their folders")
    for run in runs:
        if not [*run.glob(STAGE), *run.glob(f"*/{STAGE}")]:
            raise RunError("a run's folder must hold stages", f"no {STAGE} in {run} or below")
    for run in runs:
        sync(run)
        typer.echo(f"MLflow shows {run}")
