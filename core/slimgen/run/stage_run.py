"""One stage's run in MLflow, spoken to by one thread. Every method may raise; `tracking` sees to that."""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slimgen.files import sha256_file
from slimgen.run.background import TICK
from slimgen.run.entries import parameters

if TYPE_CHECKING:
    from typing import Any as Client  # MlflowClient, as far as its missing types go
    from typing import Any as Run

EXPERIMENT = "slimgen"
PARENT = "mlflow.parentRunId"


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Waits until no other process opens the same SQLite store: MLflow's migrations do not bear one another."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    with open(f"{uri.removeprefix('sqlite:///').partition('?')[0]}.lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def experiment(client: "Client", uri: str) -> str:
    """The id of the experiment (MLFLOW_EXPERIMENT_NAME, else `slimgen`), made or brought back if need be."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        place = None
        if uri.startswith("sqlite:///"):  # beside the database, wherever the process was started
            place = (Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute().parent / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except Exception:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_or_create(client: "Client", where: str, key: Mapping[str, str], name: str, tags: Mapping[str, str]) -> "Run":
    """The oldest run with these tags in an experiment, made if there is none."""

    def oldest() -> "Run | None":
        words = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in key.items())
        runs = client.search_runs([where], words, order_by=["attributes.start_time ASC"], max_results=10)
        return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

    found = oldest()
    if found is not None:
        return found
    made = client.create_run(where, tags={**tags, **key}, run_name=name)
    first = oldest() or made
    if first.info.run_id != made.info.run_id:  # two processes made one at the same time: the older one counts
        client.delete_run(made.info.run_id)
    return first


def quotable(text: str) -> str:
    """A tag's value that can stand between quotes in a search."""
    return text.replace("'", "_").replace("\\", "/")


class StageRun:
    """The run of a stage, begun or continued.

    Args:
        mlflow: the module, imported by whoever decided to pay for that.
        uri: of the tracking store.
        stage: the stage's name.
        recipe: the recipe's name.
        group: what the stages of one run of a recipe have in common.
        tags: to be set; `fingerprint` is part of what a run is found by.
        params: to be set, where there are none of that name.
    """

    def __init__(
        self,
        mlflow: ModuleType,
        uri: str,
        stage: str,
        recipe: str,
        group: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
    ) -> None:
        self.mlflow, self.uri = mlflow, uri
        self.client: Client = mlflow.MlflowClient(uri)
        given = os.environ.get("MLFLOW_RUN_ID")
        self.parent: str | None = None
        if given:
            run = self.client.get_run(given)
            self.where = str(run.info.experiment_id)
        else:
            self.where = experiment(self.client, uri)
            family = {"slimgen.group": quotable(group)}
            shared = {name: value for name, value in tags.items() if name != "fingerprint"}
            parent = find_or_create(self.client, self.where, {**family, "slimgen.kind": "recipe"}, recipe, shared)
            self.parent = str(parent.info.run_id)
            self.client.update_run(self.parent, status="RUNNING")
            key = {"slimgen.stage": quotable(stage), "slimgen.fingerprint": quotable(tags.get("fingerprint", ""))}
            key = {**family, "slimgen.kind": "stage", **{name: value for name, value in key.items() if value}}
            run = find_or_create(self.client, self.where, key, stage, {PARENT: self.parent})
        self.id = str(run.info.run_id)
        self.client.update_run(self.id, status="RUNNING")
        self._note(self.id, run, params, {**tags, "slimgen.stage": stage})
        # What this run measured before it was resumed, by name; None until its history was looked at.
        self._measured: dict[str, set[tuple[int, float]] | None] = dict.fromkeys(map(str, run.data.metrics))
        self._buffer: list[object] = []
        self._flushed = time.monotonic()

    def measure(self, numbers: Mapping[str, float], step: int, at: int) -> None:
        """Keeps metrics to be sent together; those that a resumed stage measures again are already there."""
        for name, number in numbers.items():
            if name in self._measured:
                before = self._measured[name]
                if before is None:
                    history = self.client.get_metric_history(self.id, name)
                    before = self._measured[name] = {(metric.step, metric.value) for metric in history}
                if (step, number) in before:
                    continue
            self._buffer.append(self.mlflow.entities.Metric(name, number, at, step))
        if len(self._buffer) >= 1000 or time.monotonic() - self._flushed > TICK:
            self.flush()

    def headline(self, numbers: Mapping[str, float], at: int) -> None:
        """Gives the recipe's run, the parent, the figures that it is compared by."""
        if self.parent is not None:
            metrics = [self.mlflow.entities.Metric(name, number, at, 0) for name, number in numbers.items()]
            self.client.log_batch(self.parent, metrics=metrics)

    def flush(self) -> None:
        """Sends the metrics that were kept."""
        self._flushed = time.monotonic()
        while self._buffer:
            self.client.log_batch(self.id, metrics=self._buffer[:1000])
            del self._buffer[:1000]

    def image(self, name: str, array: NDArray[np.uint8], step: int | None) -> None:
        """Logs a picture, uint8 (H, W, 3), once for each step."""
        if step is None:
            self.client.log_image(self.id, array, artifact_file=f"{name}.png")
            return
        start = f"images/{name.replace('/', '~')}+step+{step}+"
        if not any(file.path.startswith(start) for file in self.client.list_artifacts(self.id, "images")):
            self.client.log_image(self.id, array, key=name, step=step)

    def file(self, name: str, content: bytes) -> None:
        """Logs bytes as a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            path.write_bytes(content)
            inside = Path(name).parent.as_posix()
            self.client.log_artifact(self.id, str(path), None if inside == "." else inside)

    def table(self, name: str, cells: dict[str, list[object]]) -> None:
        """Logs a table in place of the last of that name; MLflow by itself would append to it."""
        inside = Path(name).parent.as_posix()
        there = self.client.list_artifacts(self.id, None if inside == "." else inside)
        if any(file.path == name for file in there):
            rows = list(zip(*cells.values(), strict=True))
            self.file(name, json.dumps({"columns": list(cells), "data": rows}).encode())
        else:
            self.client.log_table(self.id, cells, name)

    def artifact(self, path: Path, folder: str | None) -> None:
        """Logs a file or a folder."""
        if path.is_dir():
            self.client.log_artifacts(self.id, str(path), folder or path.name)
        else:
            self.client.log_artifact(self.id, str(path), folder)

    def child(
        self, name: str, params: Mapping[str, str], numbers: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Logs a run below this one; if it is there with other parameters, which MLflow never changes, a new one."""
        key = {PARENT: self.id, "slimgen.child": quotable(name)}
        run = find_or_create(self.client, self.where, key, name, tags)
        if any(params.get(item) != value for item, value in run.data.params.items()):
            self.client.delete_run(run.info.run_id)
            run = find_or_create(self.client, self.where, key, name, tags)
        now = int(time.time() * 1000)
        metrics = [
            self.mlflow.entities.Metric(item, number, now, 0)
            for item, number in numbers.items()
            if run.data.metrics.get(item) != number
        ]
        self._note(run.info.run_id, run, params, tags, metrics)
        self.client.set_terminated(run.info.run_id)

    def register(
        self,
        path: Path,
        example_input: NDArray[np.float32],
        example_output: NDArray[np.float32],
        name: str,
        alias: str,
        tags: Mapping[str, str],
    ) -> str:
        """Registers an ONNX file as a version of a model, or finds the version that it is, and gives it the alias."""
        digest = sha256_file(path)
        for version in self.client.search_model_versions(f"name = '{quotable(name)}'"):
            if version.run_id == self.id and version.tags.get("sha256") == digest:
                break
        else:
            version = self._create_version(path, example_input, example_output, name, {**tags, "sha256": digest})
        self.alias(name, str(version.version), alias)
        return str(version.version)

    def alias(self, name: str, version: str, alias: str) -> None:
        """Gives a version of a model an alias, which no other version has from then on."""
        self.client.set_registered_model_alias(name, alias, version)

    def end(self, status: str) -> None:
        """Sends what is left and ends the run, and its parent, which a later stage begins again."""
        self.flush()
        self.client.set_terminated(self.id, status)
        if self.parent is not None:
            self.client.set_terminated(self.parent, status)

    def _create_version(
        self,
        path: Path,
        example_input: NDArray[np.float32],
        example_output: NDArray[np.float32],
        name: str,
        tags: Mapping[str, str],
    ) -> "Run":
        # mlflow.onnx.log_model does the same by way of a tracking URI and a run that are global to the process.
        import onnx
        import onnxruntime

        network = onnx.load(path)
        outputs = {network.graph.output[0].name: example_output}
        logged = self.client.create_logged_model(self.where, name, self.id, model_type="generator")
        with tempfile.TemporaryDirectory() as folder:
            self.mlflow.onnx.save_model(
                network,
                os.path.join(folder, "model"),
                mlflow_model=self.mlflow.models.Model(run_id=self.id, model_id=logged.model_id),
                signature=self.mlflow.models.infer_signature(example_input, outputs),
                pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
                save_as_external_data=False,
            )
            self.client.log_model_artifacts(logged.model_id, os.path.join(folder, "model"))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self.client.log_outputs(self.id, [self.mlflow.entities.LoggedModelOutput(logged.model_id, step=0)])
        try:
            self.client.create_registered_model(name)
        except Exception:
            self.client.get_registered_model(name)  # raises if the reason was not that it already exists
        # A database store would look `models:/` up in the process's global tracking URI, a server in its own.
        source = f"models:/{logged.model_id}" if self.uri.startswith("http") else logged.artifact_location
        version = self.client.create_model_version(name, source, self.id, tags=dict(tags), model_id=logged.model_id)
        link = json.dumps([{"name": name, "version": version.version}])  # by which the UI leads from one to the other
        self.client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
        return version

    def _note(
        self,
        run_id: str,
        run: "Run",
        params: Mapping[str, str],
        tags: Mapping[str, str],
        metrics: Iterable[object] = (),
    ) -> None:
        """Sets tags, the parameters that a run does not have yet, and metrics, in as few requests as there may be."""
        entities = self.mlflow.entities
        new = [entities.Param(name, value) for name, value in params.items() if name not in run.data.params]
        first, rest = new[:100], [new[start : start + 100] for start in range(100, len(new), 100)]
        about = [entities.RunTag(name, value) for name, value in parameters(tags).items()]
        self.client.log_batch(run_id, metrics=list(metrics), params=first, tags=about[:100])
        for some in rest:
            self.client.log_batch(run_id, params=some)
