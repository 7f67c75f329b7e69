"""MLflow's client and experiment, opened so that many processes may start at once."""

import fcntl
import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from slimgen.files import SUFFIX, publish

if TYPE_CHECKING:
    from typing import Any as Client  # of MLflow, which has no types
    from typing import Any as Entity
    from typing import Any as Run

BROKEN = re.compile(
    r"not a database|malformed|table \w+ already exists|no such (table|column)|duplicate column|Can't locate revision|"
    r"out-of-date database"
)
SETTINGS = {
    # The calls run in a thread beside the stage; even so, none should hang for hours, as with the defaults.
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
    """Import MLflow, which takes a second or more, with few retries, and without its output and telemetry."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # These libraries' warnings about each other are for their authors, and must not stop a stage as errors.
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


def broken(error: BaseException) -> bool:
    """Return whether an error means that a SQLite file is damaged, incomplete, or of another version of MLflow."""
    return bool(BROKEN.search(str(error)))


class Store:
    """A tracking store, SQLite's or a server's."""

    def __init__(self, uri: str) -> None:
        self.uri, self.mlflow = uri, load_mlflow()
        local = uri.startswith("sqlite:///")
        self._database = Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute() if local else None
        with self.alone():
            if self._database is not None:
                self._make(self._database)
            self.client: Client = self.mlflow.MlflowClient(uri)

    def _make(self, database: Path) -> None:
        """Create a missing SQLite store under a temporary name, so that a kill leaves nothing incomplete.

        MLflow's dozens of migrations are not a transaction: a store killed amid them can never be opened again.
        """
        for left in database.parent.glob(f".{database.name}.*{SUFFIX}*"):  # of processes that were killed
            left.unlink(missing_ok=True)
        if database.is_file() and database.stat().st_size:
            # Check here that it is a database: MLflow would retry for two minutes.
            with closing(sqlite3.connect(database)) as opened:
                opened.execute("SELECT name FROM sqlite_master").fetchall()
            return
        temporary = database.with_name(f".{database.name}.{os.getpid()}{SUFFIX}")
        # The address as it is given, which is relative if an absolute one cannot be written.
        path = self.uri.removeprefix("sqlite:///").partition("?")[0]
        self.mlflow.MlflowClient(
            f"sqlite:///{os.path.join(os.path.dirname(path), temporary.name)}"
        ).search_experiments()
        publish(temporary, database)

    @cached_property
    def experiment(self) -> str:
        """Return the id of the experiment (MLFLOW_EXPERIMENT_NAME, else `slimgen`), created or restored if need be."""
        name, place = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "slimgen", None
        if self._database is not None:  # beside the database, wherever the process was started
            place = (self._database.parent / "mlartifacts").as_uri()
        with self.alone():
            found = self._at_home(self.client.get_experiment_by_name(name), place)
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

    def _at_home(self, found: "Entity | None", place: str | None) -> "Entity | None":
        """Return an experiment; rename one whose artifacts lie beside another store, as in a copied project.

        Artifacts logged to it would be written to the folder of the original project.
        """
        lies = "" if found is None else str(found.artifact_location)
        if found is None or place is None or not lies.startswith("file:") or not lies.endswith("/mlartifacts"):
            return found
        there = Path(url2pathname(urlsplit(lies).path))
        if there.resolve() == Path(url2pathname(urlsplit(place).path)).resolve():
            return found
        self.client.rename_experiment(found.experiment_id, f"{found.name} of {there.parent}, {found.experiment_id}")
        return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process opens the same SQLite store: MLflow's migrations cannot run in parallel."""
        if self._database is None:
            yield
            return
        with open(f"{self._database}.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find_or_create(
        self, experiment: str, key: Mapping[str, str], name: str, tags: Mapping[str, str], started: int | None = None
    ) -> "Run":
        """Return the oldest run with the tags `key` in an experiment, or a new one; `started` is in milliseconds."""
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


def watch_system(store: Store, run: str) -> "Entity | None":
    """Begin to log use of processor, memory, disk and GPU to a run; the returned monitor has `finish`.

    MLflow's own switch decides, `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING`, which it heeds only in runs that it starts
    itself. Return None if the switch is off.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, resume_logging=True, tracking_uri=store.uri)
    monitor.start()
    return monitor
