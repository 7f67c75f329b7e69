"""MLflow's view of a run, read from its folders. Every method may raise; `tracking` handles that."""

import csv
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from slimgen import files
from slimgen.run.entries import CONTINUED, NOTE, abridged, measures, named, parameters
from slimgen.run.images import ImageSet, image_sets
from slimgen.run.lock import in_use
from slimgen.run.models import Generator, exported, generators
from slimgen.run.place import is_parked
from slimgen.run.record import Record, read_record
from slimgen.run.registry import register
from slimgen.run.store import Store
from slimgen.run.views import CANDIDATE, GENERATOR, GOAL, KIND, METRIC
from slimgen.run.writer import Writer
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
        self.writer = Writer(self.store)
        self._runs: dict[tuple[Path, str], _Runs] = {}
        self._inputs: Mapping[str, Path] = {}

    def sync(self, folder: Path, inputs: Mapping[str, Path] | None = None) -> None:
        """Sync a stage's folder, or all stages' in a run's.

        Args:
            folder: the stage's or the run's.
            inputs: the folders that the stage read, by name; by default those beside its folder.
        """
        below = (path.parent for path in folder.glob(f"*/{files.STAGE}"))
        # A parked result was synced while it was in place, and is not the run's current one.
        found = [folder] if (folder / files.STAGE).is_file() else [path for path in below if not is_parked(path)]
        self._inputs = inputs or {}
        records = [(path, record) for path in found if (record := read_record(path))]
        for path, record in sorted(records, key=lambda entry: entry[1].get("started", 0.0)):
            self._stage(path.absolute(), record)

    def run_of(self, folder: Path) -> tuple[str, str] | None:
        """Return the experiment's id and the run's of a stage's folder that was synced."""
        found = [runs for (path, _), runs in self._runs.items() if path == folder.absolute()]
        return (found[-1].experiment, found[-1].stage) if found else None

    def _stage(self, folder: Path, record: Record) -> None:
        status = "FINISHED" if record.get("finished") else "RUNNING"
        if status == "RUNNING" and not in_use(folder):
            status = record.get("status", "KILLED")  # without a status, it was killed
        runs = self._runs.get((folder, record["fingerprint"]))
        if runs is None:
            runs = self._runs[folder, record["fingerprint"]] = self._begin(folder, record)
        writer = self.writer
        writer.tag(runs.stage, {**_tags(folder, record), "slimgen.stage": record["stage"]})
        for path in (*folder.glob(files.log_file("*")), folder / files.TRACE):
            if writer.changed(runs.stage, path):
                writer.series(runs.stage, path)
        if record.get("finished"):
            writer.measure(runs.stage, measures({**record["metrics"], "seconds": record.get("seconds")}))
        drawn = set(folder.glob(files.log_picture("*", -1)))
        for path in sorted(drawn):
            writer.picture(runs.stage, path)
        for path in (*(folder / name for name in FILES), *(set(folder.glob("*.png")) - drawn)):
            if writer.changed(runs.stage, path):
                self.client.log_artifact(runs.stage, str(path))
                if runs.recipe is not None and path.name in SHOWN:
                    self.client.log_artifact(runs.recipe, str(path))
                    self._describe(runs.recipe, path)
                if path.name == files.PARETO:  # the last file that a search writes about its trials
                    self._trials(runs, folder)
        if record.get("finished") and writer.changed(runs.stage, folder / files.METRICS):
            self._comparison(runs, folder, record)
        if record.get("finished"):  # only then were all files found to agree with the PyTorch networks
            self._exports(runs, folder, record)
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
            self.writer.remember(parent)
            self._recipe(parent, folder, record)
        self.writer.remember(run)
        self.writer.params(run, parameters(record.get("settings", {})))
        self._images(run, image_sets(record, self._read(folder, record, "prepare")))
        return _Runs(str(run.info.run_id), recipe, str(run.info.experiment_id))

    def _recipe(self, parent: "Run", folder: Path, record: Record) -> None:
        """Log the whole recipe as parameters of its own run, its text as the description, and its images as inputs."""
        recipe = yaml.safe_load(record.get("recipe", "")) or {}
        about = {name: value for name, value in recipe.items() if name != "about"}
        self.writer.params(parent, parameters(about))
        if recipe.get("about") and NOTE not in parent.data.tags:
            self.client.set_tag(parent.info.run_id, NOTE, str(recipe["about"]))
        self._images(parent, image_sets(record, self._read(folder, record, "prepare"), whole=True))

    def _images(self, run: "Run", sets: list[ImageSet]) -> None:
        """Log sets of images as inputs of a run, with their digests, sources and contexts."""
        there = run.inputs.dataset_inputs if run.inputs is not None else ()
        known = {one.dataset.digest for one in there}
        new = []
        for one in sets:
            if one.digest not in known:
                data = self.entities.Dataset(one.name, one.digest, "local", one.source, profile=one.profile or None)
                tag = self.entities.InputTag("mlflow.data.context", one.context)
                new.append(self.entities.DatasetInput(data, [tag]))
        if new:
            self.client.log_inputs(run.info.run_id, new)

    def _read(self, folder: Path, record: Record, stage: str) -> Path | None:
        """Return the folder of a stage that this one read, or that one before it read; None if it is not there."""
        if record["stage"] == stage:
            return folder
        path = self._inputs.get(stage, folder.parent / stage)
        digests = [record.get("inputs", {}).get(stage)]
        for other in record.get("inputs", {}):
            if other != stage:
                between = read_record(self._inputs.get(other, folder.parent / other))
                digests.append(between.get("inputs", {}).get(stage))
        wanted = next(filter(None, digests), None)
        return path if wanted is not None and read_record(path).get("digest") == wanted else None

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

    def _trials(self, runs: _Runs, folder: Path) -> None:
        """Log the result of a search: the best of each round, all trials as a table, a run per front member."""
        lines = [json.loads(line) for line in (folder / files.TRIALS).read_text(encoding="utf-8").splitlines()]
        trials = [Trial.from_json({"seconds": 0.0, **line}) for line in lines]
        self.writer.table(runs.stage, "trials.json", [trial.row() for trial in trials])
        winner = files.read_json(folder / files.GENOTYPE)
        winner = winner if isinstance(winner, dict) else {}
        if "objective" in winner:
            objective = Objective(**winner["objective"])
            for number, trial in leaders(trials, objective):
                best = {f"{trial.step}.best_{objective.metric}": trial.quality[objective.metric]}
                self.writer.course(runs.stage, [(number, measures(best))])
        with (folder / files.PARETO).open(newline="", encoding="utf-8") as file:
            front = {(row["key"], row["step"], int(row["round"])) for row in csv.DictReader(file)}
        for trial in trials:
            place = trial.genotype.key, trial.step, trial.round
            if place in front:
                front.remove(place)
                found = place == tuple(winner.get(name) for name in ("key", "step", "round"))
                self._member(runs, trial, " (found)" if found else "", winner.get("objective") or {})

    def _member(self, runs: _Runs, trial: Trial, mark: str, objective: Mapping[str, str]) -> None:
        """Log a member of the front as a run, with its quality in the name."""
        key = {PARENT: runs.stage, "slimgen.child": f"{trial.genotype.key}{mark}"}
        name = f"{named(trial.quality, trial.costs) or 'trial'}{mark}"
        run = self.store.find_or_create(runs.experiment, key, name, {"key": trial.genotype.key})
        if run.info.run_name != name:  # of an older version
            self.client.update_run(run.info.run_id, name=name)
        self.writer.tag(self.writer.remember(run), _kind(CANDIDATE, objective.get("metric"), objective.get("goal")))
        self.writer.params(run, parameters(trial.genotype.to_json()))
        self.writer.measure(run.info.run_id, measures({**trial.quality, **trial.costs}))
        self.client.set_terminated(run.info.run_id)

    def _comparison(self, runs: _Runs, folder: Path, record: Record) -> None:
        """Log the figures of every generator: a table, metrics of the recipe's run, and a model for each."""
        flat = files.read_json(folder / files.METRICS)
        rows: dict[str, dict[str, object]] = {}
        for name, value in flat.items() if isinstance(flat, dict) else ():
            generator, _, figure = name.partition(".")
            rows.setdefault(generator, {"name": generator})[figure] = value
        self.writer.table(runs.stage, "comparison.json", rows.values())
        if runs.recipe is not None and isinstance(flat, dict):
            self.writer.measure(runs.recipe, measures(flat))
        table = files.read_json(folder / files.TABLE)
        metric, goals = record.get("tags", {}).get("metric"), table.get("goals", {}) if isinstance(table, dict) else {}
        for generator in self._generators(folder, record, table):
            best = metric if metric in generator.quality else next(iter(generator.quality), None)
            self._generator(runs, folder, record, generator, _kind(GENERATOR, best, goals.get(best)))

    def _generators(self, folder: Path, record: Record, table: object) -> list[Generator]:
        """Return the generators of a table; none without a table."""
        trained = self._read(folder, record, "finetune")
        networks = files.read_json(trained / files.NETWORKS) if trained is not None else None
        known = networks if isinstance(networks, dict) else {}
        return list(generators(record, table, known)) if isinstance(table, dict) else []

    def _generator(
        self, runs: _Runs, folder: Path, record: Record, generator: Generator, kind: Mapping[str, str]
    ) -> None:
        """Log a generator of the table as a run with a model, by which generators of all runs are compared."""
        called = f"{_name(folder, record)} {generator.name}"
        child = self._child(runs, generator.name, f"{called}: {named(generator.quality, generator.costs)}")
        self.writer.tag(str(child.info.run_id), kind)
        self.writer.params(child, generator.params)
        sets = image_sets(record, self._read(folder, record, "prepare"))
        self._images(child, sets)
        run, about = str(child.info.run_id), {"slimgen.model": generator.name}
        found = self.client.search_logged_models([runs.experiment], f"source_run_id = '{run}'")
        model = next(iter(found), None)
        if model is None:
            title = f"{_name(folder, record)} {generator.name}".translate(dict.fromkeys(map(ord, "/:.%\"'"), "-"))
            model = self.client.create_logged_model(
                runs.experiment, title, run, about, dict(generator.params), "PyTorch network"
            )
        if str(model.status) != "READY":
            self.client.finalize_logged_model(model.model_id, "READY")
            self.client.log_outputs(run, [self.entities.LoggedModelOutput(model.model_id, step=0)])
        self.writer.of_model(run, model.model_id, generator.quality, generator.costs, _tested(sets))
        self.client.set_terminated(run)

    def _child(self, runs: _Runs, name: str, title: str) -> "Run":
        """Return the run of one generator below its stage's."""
        child = self.store.find_or_create(runs.experiment, {PARENT: runs.stage, "slimgen.child": name}, title, {})
        self.writer.remember(child)
        return child

    def _exports(self, runs: _Runs, folder: Path, record: Record) -> None:
        """Register the exported generators, and log their quality and costs as metrics of their models."""
        if not (folder / files.ONNX).is_file():
            return
        evaluated = self._read(folder, record, "evaluate")
        table = files.read_json(evaluated / files.TABLE) if evaluated is not None else None
        whole: dict[str, Any] | None = table if isinstance(table, dict) else None
        lines = {one.name: one for one in self._generators(folder, record, whole)}
        sets = image_sets(record, self._read(folder, record, "prepare"))
        for one, row in exported(folder, record, whole, _name(folder, record)):
            run = runs.stage
            if one.path.name != files.ONNX:  # whose metrics have the same names
                run = str(self._child(runs, row, row).info.run_id)
                self._images(self.client.get_run(run), sets)
                self.client.set_terminated(run)
            line = lines.get(row, Generator(row, {}, {}, {}))
            one = one._replace(params={**line.params, **one.params})
            model = register(self.store, one, run, runs.experiment)
            if model:
                self.writer.of_model(run, model, line.quality, {**line.costs, **one.figures}, _tested(sets))


def _kind(kind: str, metric: str | None, goal: str | None) -> dict[str, str]:
    """Return the tags by which the runs of generators, or of candidates, are found and sorted."""
    return {name: value for name, value in ((KIND, kind), (METRIC, metric), (GOAL, goal)) if value}


def _tested(sets: list[ImageSet]) -> tuple[str, str]:
    """Return name and digest of the test images among a run's inputs; empty texts without them."""
    return next(((one.name, one.digest) for one in sets if one.context == "test"), ("", ""))


def _tags(folder: Path, record: Record) -> dict[str, str]:
    """Return the tags for finding a stage's run, besides those that identify it."""
    return {"recipe": folder.parent.name, **{k: v for k, v in record.get("tags", {}).items() if k != CONTINUED}}


def _name(folder: Path, record: Record) -> str:
    """Return the displayed name of a stage's run; in records without a label, its recipe's name."""
    return str(record.get("label", {}).get("name") or _tags(folder, record)["recipe"])
