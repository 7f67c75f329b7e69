"""MLflow's view of a run, read from its folders. Every method may raise; `tracking` handles that."""

import csv
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from slimgen import files
from slimgen.run.compared import Compared
from slimgen.run.entries import CONTINUED, NOTE, abridged, measures, named, parameters, tags_of, title_of
from slimgen.run.images import image_sets
from slimgen.run.lock import in_use
from slimgen.run.place import is_parked
from slimgen.run.record import Record, read_record
from slimgen.run.store import Store
from slimgen.run.views import CANDIDATE, kind_tags
from slimgen.run.writer import PARENT, Runs, Writer
from slimgen.search import Objective, Trial
from slimgen.search.trial import leaders

if TYPE_CHECKING:
    from typing import Any as Run  # of MLflow, which has no types

SHOWN = (files.REPORT, files.CARD, files.of_direction(files.CARD, files.REVERSE), files.GRID)
"""Artifacts that are also logged to the recipe's run; `export` completes the report."""
FILES = (files.MANIFEST, files.GENOTYPE, files.PARETO, files.TRIALS, files.REPORT, files.CARD)


class Mirror:
    """Updates of a tracking store from the folders of runs and stages.

    Nothing is logged twice: the store's present content is read once and remembered.
    """

    def __init__(self, uri: str) -> None:
        self.store = Store(uri)
        self.client, self.entities = self.store.client, self.store.mlflow.entities
        self.writer = Writer(self.store)
        self.compared = Compared(self.store, self.writer, self._read)
        self._runs: dict[tuple[Path, str], Runs] = {}
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
        stage = record["stage"]
        writer.tag(runs.stage, {**tags_of(folder, record), **_source(stage), "slimgen.stage": stage})
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
            self.compared.comparison(runs, folder, record)
        if record.get("finished"):  # only then were all files found to agree with the PyTorch networks
            self.compared.exports(runs, folder, record)
        ended = int(1000 * record["ended"]) if status != "RUNNING" and "ended" in record else None
        for run in (runs.stage, runs.recipe):
            if run is not None and status == "RUNNING":
                self.client.update_run(run, status=status)
            elif run is not None:
                self.client.set_terminated(run, status, ended)

    def _begin(self, folder: Path, record: Record) -> Runs:
        """Find or create a stage's run, which is identified by its recipe's run, stage and fingerprint.

        The recipe's run is identified by group, recipe, seed and metric: another recipe in the folder gets a new run,
        and the same recipe with another value of, say, its export continues its run.
        """
        given = self._given(record.get("tags", {}).get(CONTINUED))
        run, recipe, experiment = given, None, ""
        if run is None:
            tags, experiment = tags_of(folder, record), self.store.experiment
            started = int(1000 * record.get("started", time.time()))
            known = {f"slimgen.{name}": tags[name] for name in ("recipe", "seed", "metric") if name in tags}
            family = {"slimgen.group": record.get("group", str(folder.parent)), "slimgen.kind": "recipe", **known}
            with self.store.alone():
                source = _source(f"run {tags['recipe']}")
                parent = self.store.find_or_create(
                    experiment, family, title_of(folder, record), {**tags, **source}, started
                )
                recipe = str(parent.info.run_id)
                if parent.info.run_name != title_of(folder, record):
                    self.client.update_run(recipe, name=title_of(folder, record))
                key = {"slimgen.stage": record["stage"], "slimgen.fingerprint": record["fingerprint"]}
                key = {**family, "slimgen.kind": "stage", **key}
                run = self.store.find_or_create(experiment, key, record["stage"], {PARENT: recipe}, started)
            self.writer.remember(parent)
            self._recipe(parent, folder, record)
        self.writer.remember(run)
        self.writer.params(run, parameters(record.get("settings", {})))
        self.writer.images(run, image_sets(record, self._read(folder, record, "prepare")))
        return Runs(str(run.info.run_id), recipe, str(run.info.experiment_id))

    def _recipe(self, parent: "Run", folder: Path, record: Record) -> None:
        """Log the whole recipe as parameters of its own run, its text as the description, and its images as inputs."""
        recipe = yaml.safe_load(record.get("recipe", "")) or {}
        about = {name: value for name, value in recipe.items() if name != "about"}
        self.writer.params(parent, parameters(about))
        if recipe.get("about") and NOTE not in parent.data.tags:
            self.client.set_tag(parent.info.run_id, NOTE, str(recipe["about"]))
        self.writer.images(parent, image_sets(record, self._read(folder, record, "prepare"), whole=True))

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

    def _trials(self, runs: Runs, folder: Path) -> None:
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

    def _member(self, runs: Runs, trial: Trial, mark: str, objective: Mapping[str, str]) -> None:
        """Log a member of the front as a run, with its quality in the name."""
        key = {PARENT: runs.stage, "slimgen.child": f"{trial.genotype.key}{mark}"}
        name = f"{named(trial.quality, trial.costs) or 'trial'}{mark}"
        run = self.store.find_or_create(runs.experiment, key, name, {"key": trial.genotype.key})
        if run.info.run_name != name:  # of an older version
            self.client.update_run(run.info.run_id, name=name)
        self.writer.tag(self.writer.remember(run), kind_tags(CANDIDATE, objective.get("metric"), objective.get("goal")))
        self.writer.params(run, parameters(trial.genotype.to_json()))
        self.writer.measure(run.info.run_id, measures({**trial.quality, **trial.costs}))
        self.client.set_terminated(run.info.run_id)


def _source(words: str) -> dict[str, str]:
    """Return the tags that MLflow's list shows as the source of a run: the command with these words."""
    return {"mlflow.source.name": f"slimgen {words}", "mlflow.source.type": "LOCAL"}
