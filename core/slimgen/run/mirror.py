"""What MLflow shows of a run, read from its folders. Every method may raise; `tracking` sees to that."""

import csv
import fcntl
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from slimgen.files import (
    CARD,
    GENOTYPE,
    MANIFEST,
    METRICS,
    ONNX,
    PARETO,
    REPORT,
    STAGE,
    TRACE,
    TRIALS,
    log_file,
    read_json,
    sha256_file,
)
from slimgen.run.entries import CONTINUED, columns, measures, parameters, registered_name
from slimgen.run.lock import in_use
from slimgen.run.log import Log
from slimgen.run.record import Record, read_record
from slimgen.search import Objective, Trial

if TYPE_CHECKING:
    from typing import Any as Client  # MlflowClient, as far as its missing types go
    from typing import Any as Run

EXPERIMENT, PARENT = "slimgen", "mlflow.parentRunId"
FILES = (MANIFEST, GENOTYPE, PARETO, TRIALS, REPORT, CARD)
CANDIDATE, CHAMPION, CHECKED = "candidate", "champion", "parity"  # aliases of a version, and the tag of a checked one
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


class _Runs(NamedTuple):
    """The runs of a stage in MLflow, by id: its own, and its recipe's, which a run that a pipeline named has not."""

    stage: str
    recipe: str | None
    experiment: str


class Mirror:
    """Brings a tracking store in line with the folders of runs and stages.

    Nothing is logged twice: what a store holds already is looked up once, and remembered.

    Args:
        uri: of the store.
    """

    def __init__(self, uri: str) -> None:
        self.uri, self.mlflow = uri, load_mlflow()
        self._runs: dict[tuple[Path, str], _Runs] = {}
        self._tags: dict[str, Mapping[str, str]] = {}
        self._latest: dict[str, dict[str, float]] = {}  # run to metric to the value logged last
        self._steps: dict[tuple[str, str], set[int]] = {}  # run and metric to the steps logged
        self._marks: dict[tuple[str, Path], tuple[int, int]] = {}

    @cached_property
    def client(self) -> "Client":
        """The store's client, which creates or migrates a database when it is made."""
        return self.mlflow.MlflowClient(self.uri)

    def sync(self, folder: Path) -> None:
        """Syncs a stage's folder, or all stages' in a run's."""
        found = [folder] if (folder / STAGE).is_file() else [path.parent for path in folder.glob(f"*/{STAGE}")]
        records = [(path, record) for path in found if (record := read_record(path))]
        for path, record in sorted(records, key=lambda entry: entry[1].get("started", 0.0)):
            self._stage(path.absolute(), record)

    def experiment(self) -> str:
        """The id of the experiment (MLFLOW_EXPERIMENT_NAME, else `slimgen`), made or brought back if need be."""
        with self._alone():
            client, place = self.client, None
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
            found = client.get_experiment_by_name(name)
            if found is None:
                if self.uri.startswith("sqlite:///"):  # beside the database, wherever the process was started
                    place = (self._database().absolute().parent / "mlartifacts").as_uri()
                try:
                    return str(client.create_experiment(name, artifact_location=place))
                except Exception:
                    found = client.get_experiment_by_name(name)  # another process was faster
                    if found is None:
                        raise
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits until no other process opens the same SQLite store: MLflow's migrations do not bear one another."""
        if not self.uri.startswith("sqlite:///"):
            yield
            return
        with open(f"{self._database()}.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _database(self) -> Path:
        return Path(self.uri.removeprefix("sqlite:///").partition("?")[0])

    def _stage(self, folder: Path, record: Record) -> None:
        status = "FINISHED" if record.get("finished") else "RUNNING"
        if status == "RUNNING" and not in_use(folder):
            status = record.get("status", "KILLED")  # unless it says how it ended, it could not
        runs = self._runs.get((folder, record["fingerprint"]))
        if runs is None:
            runs = self._runs[folder, record["fingerprint"]] = self._begin(folder, record)
        self._tag(runs.stage, {**_tags(folder, record), "slimgen.stage": record["stage"]})
        for path in (*folder.glob(log_file("*")), folder / TRACE):
            if self._changed(runs.stage, path):
                self._series(runs.stage, path)
        if record.get("finished"):
            self._measure(runs.stage, measures({**record["metrics"], "seconds": record.get("seconds")}))
        for path in (*(folder / name for name in FILES), *folder.glob("*.png")):
            if self._changed(runs.stage, path):
                self.client.log_artifact(runs.stage, str(path))
                if path.name == PARETO:  # the last that a search writes of its trials
                    self._trials(runs, folder)
        if record.get("finished") and self._changed(runs.stage, folder / METRICS):
            self._comparison(runs, folder / METRICS)
        if (folder / ONNX).is_file():
            self._model(runs, folder / ONNX, record)
        ended = int(1000 * record["ended"]) if status != "RUNNING" and "ended" in record else None
        for run in (runs.stage, runs.recipe):
            if run is not None and status == "RUNNING":
                self.client.update_run(run, status=status)
            elif run is not None:
                self.client.set_terminated(run, status, ended)

    def _begin(self, folder: Path, record: Record) -> _Runs:
        """Finds a stage's run, or makes it; it is known by group, stage and fingerprint."""
        tags, given = _tags(folder, record), self._given(record.get("tags", {}).get(CONTINUED))
        recipe = None
        if given is not None:
            run, experiment = given, str(given.info.experiment_id)
        else:
            experiment = self.experiment()
            family = {"slimgen.group": quotable(record.get("group", str(folder.parent)))}
            started = int(1000 * record.get("started", time.time()))
            with self._alone():
                parent = self._find(experiment, {**family, "slimgen.kind": "recipe"}, tags["recipe"], tags, started)
                recipe = str(parent.info.run_id)
                key = {**family, "slimgen.kind": "stage", "slimgen.stage": quotable(record["stage"])}
                key["slimgen.fingerprint"] = quotable(record["fingerprint"])
                run = self._find(experiment, key, record["stage"], {PARENT: recipe}, started)
            self._remember(parent)
        self._remember(run)
        self._params(run, parameters(record.get("settings", {})))
        return _Runs(str(run.info.run_id), recipe, experiment)

    def _given(self, run_id: str | None) -> "Run | None":
        """The run that a pipeline named, if this store has it."""
        if run_id is None:
            return None
        try:
            return self.client.get_run(run_id)
        except self.mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _find(
        self, experiment: str, key: Mapping[str, str], name: str, tags: Mapping[str, str], started: int | None = None
    ) -> "Run":
        """The oldest run with these tags in an experiment, made if there is none."""

        def oldest() -> "Run | None":
            words = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in key.items())
            order = ["attributes.start_time ASC"]
            runs = self.client.search_runs([experiment], words, order_by=order, max_results=10)
            return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

        found = oldest()
        if found is not None:
            return found
        made = self.client.create_run(experiment, started, {**parameters(tags), **key}, name)
        first = oldest() or made
        if first.info.run_id != made.info.run_id:  # two processes made one at the same time: the older one counts
            self.client.delete_run(made.info.run_id)
        return first

    def _remember(self, run: "Run") -> None:
        """Takes note of what a run holds already."""
        self._latest.setdefault(str(run.info.run_id), dict(run.data.metrics))

    def _tag(self, run: str, tags: Mapping[str, str]) -> None:
        if self._tags.get(run) != tags:
            about = [self.mlflow.entities.RunTag(name, value) for name, value in parameters(tags).items()]
            self.client.log_batch(run, tags=about)
            self._tags[run] = tags

    def _params(self, run: "Run", params: Mapping[str, str]) -> None:
        """Sets the parameters that a run does not have yet."""
        new = [self.mlflow.entities.Param(name, value) for name, value in params.items() if name not in run.data.params]
        for start in range(0, len(new), 100):
            self.client.log_batch(run.info.run_id, params=new[start : start + 100])

    def _changed(self, run: str, path: Path) -> bool:
        """Whether a file is there and is another one than when this was asked last."""
        try:
            state = path.stat()
        except FileNotFoundError:
            return False
        mark = state.st_size, state.st_mtime_ns
        before, self._marks[run, path] = self._marks.get((run, path)), mark
        return before != mark

    def _send(self, run: str, metrics: Iterable[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        new = [self.mlflow.entities.Metric(name, value, now, step) for name, value, step in metrics]
        for start in range(0, len(new), 1000):
            self.client.log_batch(run, metrics=new[start : start + 1000])

    def _measure(self, run: str, numbers: Mapping[str, float]) -> None:
        """Logs numbers that have one value, and not a course."""
        latest = self._latest[run]
        self._send(run, [(name, value, 0) for name, value in numbers.items() if latest.get(name) != value])
        latest |= numbers

    def _course(self, run: str, lines: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Logs numbers by step: each step of each once, also where a resumed stage came to it again."""
        new = []
        for step, numbers in lines:
            for name, value in numbers.items():
                steps = self._steps.get((run, name))
                if steps is None:
                    history = self.client.get_metric_history(run, name) if name in self._latest[run] else ()
                    steps = self._steps[run, name] = {metric.step for metric in history}
                if step not in steps:
                    steps.add(step)
                    new.append((name, value, step))
        self._send(run, new)

    def _series(self, run: str, path: Path) -> None:
        """The numbers of a training's log, each under the training's name."""
        prefix = path.stem.removeprefix("log-")
        lines = ((line.pop("step", None), line) for line in Log(path).read())
        self._course(
            run,
            [
                (step, {f"{prefix}.{name}": value for name, value in measures(_numbers(line)).items()})
                for step, line in lines
                if isinstance(step, int)  # rounds of a search are told by the name of its step
            ],
        )

    def _trials(self, runs: _Runs, folder: Path) -> None:
        """What a search found: the best of each round, a table of all trials, and a run for each of the front."""
        lines = [json.loads(line) for line in (folder / TRIALS).read_text(encoding="utf-8").splitlines()]
        trials = [Trial.from_json({"seconds": 0.0, **line}) for line in lines]
        self._table(runs.stage, "trials.json", [trial.row() for trial in trials])
        winner = read_json(folder / GENOTYPE)
        winner = winner if isinstance(winner, dict) else {}
        if "objective" in winner:
            self._course(runs.stage, best_by_round(trials, Objective(**winner["objective"])))
        with (folder / PARETO).open(newline="", encoding="utf-8") as file:
            front = {(row["key"], row["step"], int(row["round"])) for row in csv.DictReader(file)}
        for trial in trials:
            place = trial.genotype.key, trial.step, trial.round
            if place in front:
                front.remove(place)
                found = place == tuple(winner.get(name) for name in ("key", "step", "round"))
                self._member(runs, trial, f"{trial.genotype.key}{' (found)' if found else ''}")

    def _member(self, runs: _Runs, trial: Trial, name: str) -> None:
        """A member of the front; if it is there with other parameters, which MLflow never changes, a new one."""
        params, tags = parameters(trial.genotype.to_json()), {"key": trial.genotype.key}
        key = {PARENT: runs.stage, "slimgen.child": quotable(name)}
        run = self._find(runs.experiment, key, name, tags)
        if any(params.get(choice) != value for choice, value in run.data.params.items()):
            self.client.delete_run(run.info.run_id)
            run = self._find(runs.experiment, key, name, tags)
        self._remember(run)
        self._params(run, params)
        self._measure(run.info.run_id, measures({**trial.quality, **trial.costs}))
        self.client.set_terminated(run.info.run_id)

    def _comparison(self, runs: _Runs, path: Path) -> None:
        """The figures of every generator: a table, and metrics of the recipe's run, by which runs are compared."""
        flat = read_json(path)
        rows: dict[str, dict[str, object]] = {}
        for name, value in flat.items() if isinstance(flat, dict) else ():
            generator, _, figure = name.partition(".")
            rows.setdefault(generator, {"name": generator})[figure] = value
        self._table(runs.stage, "comparison.json", rows.values())
        if runs.recipe is not None and isinstance(flat, dict):
            self._measure(runs.recipe, measures(flat))

    def _table(self, run: str, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Logs a table in place of the last of that name; MLflow by itself would append to it."""
        cells = columns(rows)
        if not any(file.path == name for file in self.client.list_artifacts(run)):
            self.client.log_table(run, cells, name)
            return
        with tempfile.TemporaryDirectory() as folder:
            lines = list(zip(*cells.values(), strict=True))
            Path(folder, name).write_text(json.dumps({"columns": list(cells), "data": lines}))
            self.client.log_artifact(run, str(Path(folder, name)))

    def _model(self, runs: _Runs, path: Path, record: Record) -> None:
        """Registers an ONNX file as a version of a model, or finds the version that it is.

        A version gets its alias when it is made, and the champion's when the stage has finished, which it does once
        parity was shown; never again, so that syncing an old run takes no alias from a newer one.
        """
        if not self._changed(runs.stage, path) and not record.get("finished"):
            return
        export = record.get("settings", {}).get("export")
        recipe = _tags(path.parent, record)["recipe"]
        name = registered_name(str((isinstance(export, dict) and export.get("model")) or recipe))
        digest = sha256_file(path)
        for version in self.client.search_model_versions(f"name = '{name}'"):
            if version.run_id == runs.stage and version.tags.get("sha256") == digest:
                break
        else:
            version = self._version(runs, path, name, {"recipe": recipe, "sha256": digest})
            self.client.set_registered_model_alias(name, CANDIDATE, str(version.version))
        if record.get("finished") and CHECKED not in version.tags:
            self.client.set_registered_model_alias(name, CHAMPION, str(version.version))
            self.client.set_model_version_tag(name, str(version.version), CHECKED, "shown")

    def _version(self, runs: _Runs, path: Path, name: str, tags: Mapping[str, str]) -> "Run":
        # mlflow.onnx.log_model does the same by way of a tracking URI and a run that are global to the process.
        import onnx
        import onnxruntime

        network = onnx.load(path)
        logged = self.client.create_logged_model(runs.experiment, name, runs.stage, model_type="generator")
        with tempfile.TemporaryDirectory() as folder:
            self.mlflow.onnx.save_model(
                network,
                os.path.join(folder, "model"),
                mlflow_model=self.mlflow.models.Model(run_id=runs.stage, model_id=logged.model_id),
                signature=self.mlflow.models.ModelSignature(
                    *(self._schema(values) for values in (network.graph.input, network.graph.output))
                ),
                pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
                save_as_external_data=False,
            )
            self.client.log_model_artifacts(logged.model_id, os.path.join(folder, "model"))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self.client.log_outputs(runs.stage, [self.mlflow.entities.LoggedModelOutput(logged.model_id, step=0)])
        try:
            self.client.create_registered_model(name)
        except Exception:
            self.client.get_registered_model(name)  # raises if the reason was not that it already exists
        # A database store would look `models:/` up in the process's global tracking URI, a server in its own.
        source = f"models:/{logged.model_id}" if self.uri.startswith("http") else logged.artifact_location
        version = self.client.create_model_version(name, source, runs.stage, dict(tags), model_id=logged.model_id)
        link = json.dumps([{"name": name, "version": version.version}])  # by which the UI leads from one to the other
        self.client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
        return version

    def _schema(self, values: "Iterable[Client]") -> "Client":
        """The signature of a graph's inputs or outputs; an axis of any length is -1."""
        import onnx

        tensors = [(value.name, value.type.tensor_type) for value in values]
        return self.mlflow.types.Schema(
            [
                self.mlflow.types.TensorSpec(
                    onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type),
                    [-1 if axis.dim_param else int(axis.dim_value) for axis in tensor.shape.dim],
                    name,
                )
                for name, tensor in tensors
            ]
        )


def best_by_round(trials: Iterable[Trial], objective: Objective) -> list[tuple[int, dict[str, float]]]:
    """The best quality of each step of a search so far, by the number of the round among those of all steps."""
    numbers: dict[tuple[str, int], int] = {}
    fittest: dict[str, Trial] = {}
    course: dict[int, dict[str, float]] = {}
    for trial in trials:
        number = numbers.setdefault((trial.step, trial.round), len(numbers))
        rival = fittest.get(trial.step)
        better = rival is None or objective.fitness(trial.quality) > objective.fitness(rival.quality)
        if trial.complete and better:
            fittest[trial.step] = trial
        if trial.step in fittest:
            name = f"{trial.step}.best_{objective.metric}"
            course[number] = measures({name: fittest[trial.step].quality[objective.metric]})
    return list(course.items())


def _tags(folder: Path, record: Record) -> dict[str, str]:
    """What a stage's run is found by, besides what makes it unique."""
    return {"recipe": folder.parent.name, **{k: v for k, v in record.get("tags", {}).items() if k != CONTINUED}}


def quotable(text: str) -> str:
    """A tag's value that can stand between quotes in a search."""
    return text.replace("'", "_").replace("\\", "/")


def _numbers(line: Mapping[str, object]) -> dict[str, object]:
    """Those of a line's values that are numbers, and not tables of them."""
    return {name: value for name, value in line.items() if isinstance(value, int | float)}
