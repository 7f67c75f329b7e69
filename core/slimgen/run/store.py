"""MLflow's client and the experiment, opened so that many processes may begin at once."""

import fcntl
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any as Client  # MlflowClient, as far as its missing types go
    from typing import Any as Run

EXPERIMENT = "slimgen"
SETTINGS = {
    # The calls are made beside the stage and cost it nothing; still, none should hang for the hours of the defaults.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
}


def load_mlflow() -> ModuleType:
    """Imports MLflow, which takes a second or more, so that it is quiet, patient and reports to nobody."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # What these libraries warn of among themselves is for their authors, and must not stop a stage as an error.
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy|alembic|pydantic)(\.|$)")
    import mlflow
    import mlflow.entities
    import mlflow.models
    import mlflow.onnx
    import mlflow.types

    module: ModuleType = mlflow
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return module


class Store:
    """A tracking store.

    Args:
        uri: SQLite's, or a server's.
    """

    def __init__(self, uri: str) -> None:
        self.uri, self.mlflow = uri, load_mlflow()
        local = uri.startswith("sqlite:///")
        self._database = Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute() if local else None
        with self.alone():
            self.client: Client = self.mlflow.MlflowClient(uri)  # creates or migrates a database

    @cached_property
    def experiment(self) -> str:
        """The id of the experiment (MLFLOW_EXPERIMENT_NAME, else `slimgen`), made or brought back if need be."""
        name, place = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT, None
        if self._database is not None:  # beside the database, wherever the process was started
            place = (self._database.parent / "mlartifacts").as_uri()
        with self.alone():
            found = self.client.get_experiment_by_name(name)
            if found is None:
                try:
                    return str(self.client.create_experiment(name, artifact_location=place))
                except Exception:
                    found = self.client.get_experiment_by_name(name)  # another process was faster
                    if found is None:
                        raise
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until no other process opens the same SQLite store: MLflow's migrations do not bear one another."""
        if self._database is None:
            yield
            return
        with open(f"{self._database}.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find_or_create(
        self, experiment: str, key: Mapping[str, str], name: str, tags: Mapping[str, str], started: int | None = None
    ) -> "Run":
        """The oldest run with the tags `key` in an experiment, made if there is none; `started` is in milliseconds."""
        key = {tag: value.replace("'", "_").replace("\\", "/") for tag, value in key.items()}  # to stand in quotes
        words = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in key.items())

        def oldest() -> "Run | None":
            order = ["attributes.start_time ASC"]
            runs = self.client.search_runs([experiment], words, order_by=order, max_results=10)
            return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

        found = oldest()
        if found is not None:
            return found
        made = self.client.create_run(experiment, started, {**tags, **key}, name)
        first = oldest() or made
        if first.info.run_id != made.info.run_id:  # two processes made one at the same time: the older one counts
            self.client.delete_run(made.info.run_id)
        return first
