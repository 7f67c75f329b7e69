"""MLflow's client and experiment, opened so that many processes may start at once; and its model registry."""

import fcntl
import json
import logging
import os
import re
import sqlite3
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from slimgen.files import CARD, SUFFIX, publish, sha256_file
from slimgen.run.entries import abridged

if TYPE_CHECKING:
    from typing import Any as Client  # of MLflow, which has no types
    from typing import Any as Entity
    from typing import Any as Run

CANDIDATE, CHAMPION, CHECKED = "candidate", "champion", "parity"  # aliases of a version, and the tag of a checked one
MODEL = "slimgen.model"  # tag of a version: the id of its logged model
ABOUT = (
    "Generators that slimgen found with the recipe {recipe}. `candidate` is the newest version, `champion` the newest "
    "one whose ONNX file passed the parity check against the PyTorch network. A version's description is its card."
)
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


def register(
    store: Store, path: Path, name: str, run: str, experiment: str, tags: Mapping[str, str], *, checked: bool
) -> str:
    """Register an ONNX file as a version of a model, or find its version; return the id of its model.

    A version gets the alias `candidate` when it is created and `champion` once it is checked, each only once, so that
    syncing an old run takes no alias from a newer one. It is checked once its parity check has passed; its description
    is then the card beside it.
    """
    client, digest = store.client, sha256_file(path)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run and version.tags.get("sha256") == digest:
            break
    else:
        version = _version(store, path, name, run, experiment, {**tags, "sha256": digest})
        client.set_registered_model_alias(name, CANDIDATE, str(version.version))
    if checked and CHECKED not in version.tags:
        client.set_registered_model_alias(name, CHAMPION, str(version.version))
        client.set_model_version_tag(name, str(version.version), CHECKED, "shown")
        card = path.with_name(CARD)
        if card.is_file():
            client.update_model_version(name, str(version.version), abridged(card))
    return str(version.tags.get(MODEL, ""))


def _version(store: Store, path: Path, name: str, run: str, experiment: str, tags: Mapping[str, str]) -> "Entity":
    # mlflow.onnx.log_model does the same, but with a tracking URI and a run that are global to the process.
    import onnx
    import onnxruntime

    client, mlflow, network = store.client, store.mlflow, onnx.load(path)
    logged = client.create_logged_model(experiment, name, run, model_type="generator")
    schemas = (_schema(store, values) for values in (network.graph.input, network.graph.output))
    with tempfile.TemporaryDirectory() as folder:
        mlflow.onnx.save_model(
            network,
            os.path.join(folder, "model"),
            mlflow_model=mlflow.models.Model(run_id=run, model_id=logged.model_id),
            signature=mlflow.models.ModelSignature(*schemas),
            pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
            save_as_external_data=False,
        )
        client.log_model_artifacts(logged.model_id, os.path.join(folder, "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(logged.model_id, step=0)])
    try:
        client.create_registered_model(name, description=ABOUT.format(**{"recipe": "?", **tags}))
    except Exception:
        client.get_registered_model(name)  # raises if the model does not exist, so that something else went wrong
    # A database store would look up `models:/` in the process's global tracking URI, a server in its own store.
    source = f"models:/{logged.model_id}" if store.uri.startswith("http") else logged.artifact_location
    # A database store does not keep the model's id by itself.
    told = {**tags, MODEL: logged.model_id}
    version = client.create_model_version(name, source, run, told, model_id=logged.model_id)
    link = json.dumps([{"name": name, "version": version.version}])  # the UI's link from the model to its version
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
    return version


def _schema(store: Store, values: "Iterable[Entity]") -> "Entity":
    """Return the signature of a graph's inputs or outputs; a variable axis is -1."""
    import onnx

    types, specs = store.mlflow.types, []
    for value in values:
        tensor = value.type.tensor_type
        axes = [-1 if axis.dim_param else int(axis.dim_value) for axis in tensor.shape.dim]
        specs.append(types.TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), axes, value.name))
    return types.Schema(specs)
