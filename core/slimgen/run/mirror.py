"""MLflow's view of a run, read from its folders. Every method may raise; `tracking` handles that."""

import csv
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from slimgen import files
from slimgen.run.entries import CONTINUED, NOTE, abridged, columns, measures, parameters, registered_name, summary
from slimgen.run.lock import in_use
from slimgen.run.log import Log
from slimgen.run.place import is_parked
from slimgen.run.record import Record, read_record
from slimgen.run.store import Store, register
from slimgen.search import Objective, Trial
from slimgen.search.trial import leaders

if TYPE_CHECKING:
    from typing import Any as Run  # of MLflow, which has no types

PARENT = "mlflow.parentRunId"
SHOWN = (files.REPORT, files.CARD, files.of_direction(files.CARD, files.REVERSE), files.GRID)
"""Artifacts that are also logged to the recipe's run; `export` completes the report."""
FILES = (files.MANIFEST, files.GENOTYPE, files.PARETO, files.TRIALS, files.REPORT, files.CARD)


class _Runs(NamedTuple):
    """Runs of a stage in MLflow, by id: its own, and its recipe's, which is missing if a pipeline named the run."""

    stage: str
    recipe: str | None
    experiment: str


class Mirror:
    """Updates of a tracking store from the folders of runs and stages.

    Nothing is logged twice: the store's present content is read once and remembered.
    """

    def __init__(self, uri: str) -> None:
        self.store = Store(uri)
        self.client, self.entities = self.store.client, self.store.mlflow.entities
        self._runs: dict[tuple[Path, str], _Runs] = {}
        self._tags: dict[str, Mapping[str, str]] = {}
        self._latest: dict[str, dict[str, float]] = {}  # run to metric to the value logged last
        self._steps: dict[tuple[str, str], set[int]] = {}  # run and metric to the steps logged
        self._marks: dict[tuple[str, Path], tuple[int, int]] = {}

    def sync(self, folder: Path) -> None:
        """Sync a stage's folder, or all stages' in a run's."""
        below = (path.parent for path in folder.glob(f"*/{files.STAGE}"))
        # A parked result was synced while it was in place, and is not the run's current one.
        found = [folder] if (folder / files.STAGE).is_file() else [path for path in below if not is_parked(path)]
        records = [(path, record) for path in found if (record := read_record(path))]
        for path, record in sorted(records, key=lambda entry: entry[1].get("started", 0.0)):
            self._stage(path.absolute(), record)

    def _stage(self, folder: Path, record: Record) -> None:
        status = "FINISHED" if record.get("finished") else "RUNNING"
        if status == "RUNNING" and not in_use(folder):
            status = record.get("status", "KILLED")  # without a status, it was killed
        runs = self._runs.get((folder, record["fingerprint"]))
        if runs is None:
            runs = self._runs[folder, record["fingerprint"]] = self._begin(folder, record)
        self._tag(runs.stage, {**_tags(folder, record), "slimgen.stage": record["stage"]})
        for path in (*folder.glob(files.log_file("*")), folder / files.TRACE):
            if self._changed(runs.stage, path):
                self._series(runs.stage, path)
        if record.get("finished"):
            self._measure(runs.stage, measures({**record["metrics"], "seconds": record.get("seconds")}))
        for path in (*(folder / name for name in FILES), *folder.glob("*.png")):
            if self._changed(runs.stage, path):
                self.client.log_artifact(runs.stage, str(path))
                if runs.recipe is not None and path.name in SHOWN:
                    self.client.log_artifact(runs.recipe, str(path))
                    self._describe(runs.recipe, path)
                if path.name == files.PARETO:  # the last file that a search writes about its trials
                    self._trials(runs, folder)
        if record.get("finished") and self._changed(runs.stage, folder / files.METRICS):
            self._comparison(runs, folder / files.METRICS)
        if record.get("finished") or self._changed(runs.stage, folder / files.ONNX):
            self._model(runs, folder / files.ONNX, record)
        ended = int(1000 * record["ended"]) if status != "RUNNING" and "ended" in record else None
        for run in (runs.stage, runs.recipe):
            if run is not None and status == "RUNNING":
                self.client.update_run(run, status=status)
            elif run is not None:
                self.client.set_terminated(run, status, ended)

    def _begin(self, folder: Path, record: Record) -> _Runs:
        """Find or create a stage's run, which is identified by its recipe's run, stage and fingerprint.

        The recipe's run is identified by group, recipe, seed and metric: another recipe in the folder gets a new run,
        and the same recipe with another value of, say, its export continues its run.
        """
        given = self._given(record.get("tags", {}).get(CONTINUED))
        run, recipe, experiment = given, None, ""
        if run is None:
            tags, experiment = _tags(folder, record), self.store.experiment
            started = int(1000 * record.get("started", time.time()))
            known = {f"slimgen.{name}": tags[name] for name in ("recipe", "seed", "metric") if name in tags}
            family = {"slimgen.group": record.get("group", str(folder.parent)), "slimgen.kind": "recipe", **known}
            with self.store.alone():
                parent = self.store.find_or_create(experiment, family, _name(folder, record), tags, started)
                recipe = str(parent.info.run_id)
                if parent.info.run_name != _name(folder, record):
                    self.client.update_run(recipe, name=_name(folder, record))
                key = {"slimgen.stage": record["stage"], "slimgen.fingerprint": record["fingerprint"]}
                key = {**family, "slimgen.kind": "stage", **key}
                run = self.store.find_or_create(experiment, key, record["stage"], {PARENT: recipe}, started)
            self._remember(parent)
            self._recipe(parent, record)
        self._remember(run)
        self._params(run, parameters(record.get("settings", {})))
        self._data(run, record)
        return _Runs(str(run.info.run_id), recipe, str(run.info.experiment_id))

    def _recipe(self, parent: "Run", record: Record) -> None:
        """Log the whole recipe as parameters of its own run, its text as the description, and its images as input."""
        recipe = yaml.safe_load(record.get("recipe", "")) or {}
        about = {name: value for name, value in recipe.items() if name != "about"}
        self._params(parent, parameters(about))
        if recipe.get("about") and NOTE not in parent.data.tags:
            self.client.set_tag(parent.info.run_id, NOTE, str(recipe["about"]))
        self._data(parent, record)

    def _data(self, run: "Run", record: Record) -> None:
        """Log the images that a run learns from, or measures on, as an input with their digest."""
        digest, stage = record.get("tags", {}).get("data"), record["stage"]
        if not digest or (run.inputs is not None and run.inputs.dataset_inputs):
            return
        settings = record.get("settings", {})
        options = settings.get("data")
        name = (isinstance(options, dict) and options.get("embedded")) or "images"
        size = f"-{settings['size']}px" if isinstance(settings.get("size"), int) else ""
        source = json.dumps({"sha256": digest})
        data = self.entities.Dataset(f"{name}{size}", digest[:36], "code", source)
        context = "eval" if stage in ("evaluate", "export") else "training"
        tag = self.entities.InputTag("mlflow.data.context", context)
        self.client.log_inputs(run.info.run_id, [self.entities.DatasetInput(data, [tag])])

    def _describe(self, run: str, card: Path) -> None:
        """Make the card of the recipe's direction the description of a run."""
        if card.name == files.CARD:
            self.client.set_tag(run, NOTE, abridged(card))

    def _given(self, run_id: str | None) -> "Run | None":
        """Return the run that a pipeline named, if this store has it."""
        if run_id is None:
            return None
        try:
            return self.client.get_run(run_id)
        except self.store.mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _remember(self, run: "Run") -> None:
        """Record the present content of a run."""
        self._latest.setdefault(str(run.info.run_id), dict(run.data.metrics))

    def _tag(self, run: str, tags: Mapping[str, str]) -> None:
        if self._tags.get(run) != tags:
            about = [self.entities.RunTag(name, value) for name, value in parameters(tags).items()]
            self.client.log_batch(run, tags=about)
            self._tags[run] = tags

    def _params(self, run: "Run", params: Mapping[str, str]) -> None:
        """Set the parameters that a run does not have yet."""
        new = [self.entities.Param(name, value) for name, value in params.items() if name not in run.data.params]
        for start in range(0, len(new), 100):
            self.client.log_batch(run.info.run_id, params=new[start : start + 100])

    def _changed(self, run: str, path: Path) -> bool:
        """Return whether a file exists and differs from the one at the last call."""
        try:
            state = path.stat()
        except FileNotFoundError:
            return False
        mark = state.st_size, state.st_mtime_ns
        before, self._marks[run, path] = self._marks.get((run, path)), mark
        return before != mark

    def _send(self, run: str, metrics: Iterable[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        new = [self.entities.Metric(name, value, now, step) for name, value, step in metrics]
        for start in range(0, len(new), 1000):
            self.client.log_batch(run, metrics=new[start : start + 1000])

    def _measure(self, run: str, numbers: Mapping[str, float]) -> None:
        """Log numbers with a single value."""
        latest = self._latest[run]
        self._send(run, [(name, value, 0) for name, value in numbers.items() if latest.get(name) != value])
        latest |= numbers

    def _course(self, run: str, lines: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Log numbers by step, each step once, even if a resumed stage repeats it."""
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
        """Log the numbers of a training's log, each under the training's name."""
        prefix, course = path.stem.removeprefix("log-"), []
        for line in Log(path).read():
            step = line.pop("step", None)
            if isinstance(step, int):  # in a search's log, a step is a name
                numbers = {f"{prefix}.{name}": value for name, value in line.items() if isinstance(value, int | float)}
                course.append((step, measures(numbers)))
        self._course(run, course)

    def _trials(self, runs: _Runs, folder: Path) -> None:
        """Log the result of a search: the best of each round, all trials as a table, a run per front member."""
        lines = [json.loads(line) for line in (folder / files.TRIALS).read_text(encoding="utf-8").splitlines()]
        trials = [Trial.from_json({"seconds": 0.0, **line}) for line in lines]
        self._table(runs.stage, "trials.json", [trial.row() for trial in trials])
        winner = files.read_json(folder / files.GENOTYPE)
        winner = winner if isinstance(winner, dict) else {}
        if "objective" in winner:
            objective = Objective(**winner["objective"])
            for number, trial in leaders(trials, objective):
                best = {f"{trial.step}.best_{objective.metric}": trial.quality[objective.metric]}
                self._course(runs.stage, [(number, measures(best))])
        with (folder / files.PARETO).open(newline="", encoding="utf-8") as file:
            front = {(row["key"], row["step"], int(row["round"])) for row in csv.DictReader(file)}
        for trial in trials:
            place = trial.genotype.key, trial.step, trial.round
            if place in front:
                front.remove(place)
                found = place == tuple(winner.get(name) for name in ("key", "step", "round"))
                self._member(runs, trial, " (found)" if found else "")

    def _member(self, runs: _Runs, trial: Trial, mark: str) -> None:
        """Log a member of the front as a run, with its quality in the name."""
        key = {PARENT: runs.stage, "slimgen.child": f"{trial.genotype.key}{mark}"}
        name = f"{summary(trial.quality, trial.costs)}{mark}"
        run = self.store.find_or_create(runs.experiment, key, name, {"key": trial.genotype.key})
        self._remember(run)
        self._params(run, parameters(trial.genotype.to_json()))
        self._measure(run.info.run_id, measures({**trial.quality, **trial.costs}))
        self.client.set_terminated(run.info.run_id)

    def _comparison(self, runs: _Runs, path: Path) -> None:
        """Log the figures of every generator: a table, and metrics of the recipe's run, by which runs are compared."""
        flat = files.read_json(path)
        rows: dict[str, dict[str, object]] = {}
        for name, value in flat.items() if isinstance(flat, dict) else ():
            generator, _, figure = name.partition(".")
            rows.setdefault(generator, {"name": generator})[figure] = value
        self._table(runs.stage, "comparison.json", rows.values())
        if runs.recipe is not None and isinstance(flat, dict):
            self._measure(runs.recipe, measures(flat))

    def _table(self, run: str, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Log a table, the only one of its run, in the form that MLflow's pages show."""
        cells = columns(rows)
        with tempfile.TemporaryDirectory() as folder:
            files.write_json(
                Path(folder, name), {"columns": list(cells), "data": list(zip(*cells.values(), strict=True))}
            )
            self.client.log_artifact(run, str(Path(folder, name)))
        self.client.set_tag(run, "mlflow.loggedArtifacts", json.dumps([{"path": name, "type": "table"}]))

    def _model(self, runs: _Runs, path: Path, record: Record) -> None:
        """Register an exported generator; a stage that exports finishes only after its parity check."""
        if path.is_file():
            export, recipe = record.get("settings", {}).get("export"), _tags(path.parent, record)["recipe"]
            given = export.get("model") if isinstance(export, dict) else None
            name = registered_name(str(given or _name(path.parent, record)))
            checked = bool(record.get("finished")) and "quick" not in _tags(path.parent, record)  # no trial is champion
            model = register(self.store, path, name, runs.stage, runs.experiment, {"recipe": recipe}, checked=checked)
            if model and record.get("finished"):
                self._measure_model(runs.stage, model, path.parent, record)

    def _measure_model(self, run: str, model: str, folder: Path, record: Record) -> None:
        """Log the quality and costs of an exported generator as metrics of its model, by which models are compared."""
        evaluate = folder.parent / "evaluate"
        same = read_record(evaluate).get("digest") == record.get("inputs", {}).get("evaluate")
        flat = files.read_json(evaluate / files.METRICS) if same else None
        found = {
            name.partition(".")[2]: value
            for name, value in (flat.items() if isinstance(flat, dict) else ())
            if name.partition(".")[0] in ("found", "adopted")
        }
        known = {metric.key for metric in self.client.get_logged_model(model).metrics or ()}
        for name, value in measures({**found, **record["metrics"]}).items():
            if name not in known:
                self.client.log_metric(run, name, value, model_id=model)


def _tags(folder: Path, record: Record) -> dict[str, str]:
    """Return the tags for finding a stage's run, besides those that identify it."""
    return {"recipe": folder.parent.name, **{k: v for k, v in record.get("tags", {}).items() if k != CONTINUED}}


def _name(folder: Path, record: Record) -> str:
    """Return the displayed name of a stage's run; in records without a label, its recipe's name."""
    return str(record.get("label", {}).get("name") or _tags(folder, record)["recipe"])
