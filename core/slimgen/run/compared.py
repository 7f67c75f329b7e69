"""Generators in MLflow: a run and a model for each one of a table, and a version for each exported one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgen import files
from slimgen.run.entries import measures, named, title_of
from slimgen.run.images import ImageSet, image_sets
from slimgen.run.models import Generator, exported, generators
from slimgen.run.record import Record
from slimgen.run.registry import register
from slimgen.run.store import Store
from slimgen.run.views import GENERATOR, kind_tags
from slimgen.run.writer import PARENT, Runs, Writer

if TYPE_CHECKING:
    from typing import Any as Run  # of MLflow, which has no types

Read = Callable[[Path, Record, str], Path | None]
"""Function of a stage's folder, its record and an earlier stage's name: the folder that was read, if it is there."""


class Compared:
    """Logs the generators that `evaluate` measured, and those that `export` wrote."""

    def __init__(self, store: Store, writer: Writer, read: Read) -> None:
        self.store, self.writer, self.read = store, writer, read
        self.client, self.entities = store.client, store.mlflow.entities

    def comparison(self, runs: Runs, folder: Path, record: Record) -> None:
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
            self._generator(runs, folder, record, generator, kind_tags(GENERATOR, best, goals.get(best)))

    def _generators(self, folder: Path, record: Record, table: object) -> list[Generator]:
        """Return the generators of a table; none without a table."""
        trained = self.read(folder, record, "finetune")
        networks = files.read_json(trained / files.NETWORKS) if trained is not None else None
        known = networks if isinstance(networks, dict) else {}
        return list(generators(record, table, known)) if isinstance(table, dict) else []

    def _generator(
        self, runs: Runs, folder: Path, record: Record, generator: Generator, kind: Mapping[str, str]
    ) -> None:
        """Log a generator of the table as a run with a model, by which generators of all runs are compared."""
        called = f"{title_of(folder, record)} {generator.name}"
        child = self._child(runs, generator.name, f"{called}: {named(generator.quality, generator.costs)}")
        self.writer.tag(str(child.info.run_id), kind)
        self.writer.params(child, generator.params)
        sets = image_sets(record, self.read(folder, record, "prepare"))
        self.writer.images(child, sets)
        run, about = str(child.info.run_id), {"slimgen.model": generator.name}
        found = self.client.search_logged_models([runs.experiment], f"source_run_id = '{run}'")
        model = next(iter(found), None)
        if model is None:
            title = f"{title_of(folder, record)} {generator.name}".translate(dict.fromkeys(map(ord, "/:.%\"'"), "-"))
            model = self.client.create_logged_model(
                runs.experiment, title, run, about, dict(generator.params), "PyTorch network"
            )
        if str(model.status) != "READY":
            self.client.finalize_logged_model(model.model_id, "READY")
            self.client.log_outputs(run, [self.entities.LoggedModelOutput(model.model_id, step=0)])
        self.writer.of_model(run, model.model_id, generator.quality, generator.costs, _tested(sets))
        self.client.set_terminated(run)

    def _child(self, runs: Runs, name: str, title: str) -> "Run":
        """Return the run of one generator below its stage's."""
        child = self.store.find_or_create(runs.experiment, {PARENT: runs.stage, "slimgen.child": name}, title, {})
        self.writer.remember(child)
        return child

    def exports(self, runs: Runs, folder: Path, record: Record) -> None:
        """Register the exported generators, and log their quality and costs as metrics of their models."""
        if not (folder / files.ONNX).is_file():
            return
        evaluated = self.read(folder, record, "evaluate")
        table = files.read_json(evaluated / files.TABLE) if evaluated is not None else None
        whole: dict[str, Any] | None = table if isinstance(table, dict) else None
        lines = {one.name: one for one in self._generators(folder, record, whole)}
        sets = image_sets(record, self.read(folder, record, "prepare"))
        for one, row in exported(folder, record, whole, title_of(folder, record)):
            run = runs.stage
            if one.path.name != files.ONNX:  # whose metrics have the same names
                run = str(self._child(runs, row, row).info.run_id)
                self.writer.images(self.client.get_run(run), sets)
                self.client.set_terminated(run)
            line = lines.get(row, Generator(row, {}, {}, {}))
            one = one._replace(params={**line.params, **one.params})
            model = register(self.store, one, run, runs.experiment)
            if model:
                self.writer.of_model(run, model, line.quality, {**line.costs, **one.figures}, _tested(sets))


def _tested(sets: list[ImageSet]) -> tuple[str, str]:
    """Return name and digest of the test images among a run's inputs; empty texts without them."""
    return next(((one.name, one.digest) for one in sets if one.context == "test"), ("", ""))
