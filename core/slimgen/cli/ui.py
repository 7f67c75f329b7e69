"""`slimgen ui`: MLflow's pages on the project's store."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from slimgen.addresses import shown
from slimgen.errors import RunError
from slimgen.files import STAGE

RUNS = Path("runs")


def ui(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Runs for --sync; by default all in runs."),
    ] = None,
    sync: Annotated[bool, typer.Option("--sync", help="Copy run folders into MLflow, and open nothing.")] = False,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open MLflow on all runs, with metrics, pictures and models."""
    from slimgen.run.tracking import create_store, store

    uri = store()
    if sync:
        return copy(runs or sorted(path for path in RUNS.glob("*") if path.is_dir()))
    if runs:
        raise RunError("only --sync takes run folders", runs[0], "add --sync, or leave them out")
    if uri.startswith(("http://", "https://")):
        typer.echo(f"the runs are tracked at {shown(uri)}")
        return None
    # Before the pages' own processes open it at once; on a fresh project there is none yet.
    experiment = create_store()
    typer.echo(f"{address(host, port, experiment)} shows {shown(uri)}", err=True)
    # MLflow is to report to nobody, here as in the stages.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Its workers for jobs that slimgen has none of take a minute to start, and stay behind when the pages are closed.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # with its password, which is not for the list of processes
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]
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
