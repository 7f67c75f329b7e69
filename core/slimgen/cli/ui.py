"""`slimgen ui`: MLflow's pages on the project's store."""

import os
import sys
from typing import Annotated

import typer


def ui(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Of the pages, on this machine.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
) -> None:
    """Open the project's MLflow store: all runs, with their metrics, pictures and models."""
    from slimgen.run.tracking import create_store, store

    uri = store()
    if uri.startswith(("http://", "https://")):
        typer.echo(f"the runs are tracked at {uri}")
        return
    # Before the pages' own processes open it at once; on a fresh project there is none yet.
    create_store()
    typer.echo(f"http://{host}:{port} shows {uri}", err=True)
    # MLflow is to report to nobody, here as in the stages.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(port)]
    os.execv(sys.executable, command)
