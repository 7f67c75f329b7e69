"""Writing to runs in MLflow, each value once. Every method may raise; `tracking` handles that."""

import json
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slimgen import files
from slimgen.run.entries import columns, measures, parameters
from slimgen.run.images import ImageSet
from slimgen.run.log import Log
from slimgen.run.store import Store

if TYPE_CHECKING:
    from typing import Any as Run  # of MLflow, which has no types


PARENT = "mlflow.parentRunId"
"""Tag: the run that a run is nested in."""


class Runs(NamedTuple):
    """Runs of a stage in MLflow, by id: its own, and its recipe's, which is missing if a pipeline named the run."""

    stage: str
    recipe: str | None
    experiment: str


class Writer:
    """Writes what a run does not have yet; the store's present content is read once and remembered."""

    def __init__(self, store: Store) -> None:
        self.client, self.entities = store.client, store.mlflow.entities
        self._tags: dict[str, Mapping[str, str]] = {}
        self._latest: dict[str, dict[str, float]] = {}  # run to metric to the value logged last
        self._steps: dict[tuple[str, str], set[int]] = {}  # run and metric to the steps logged
        self._pictures: dict[str, set[tuple[str, str]]] = {}  # run to trainings and steps with a picture
        self._marks: dict[tuple[str, Path], tuple[int, int]] = {}

    def remember(self, run: "Run") -> str:
        """Record the present content of a run, and return its id."""
        self._latest.setdefault(str(run.info.run_id), dict(run.data.metrics))
        return str(run.info.run_id)

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags, unless the last call had the same ones."""
        if self._tags.get(run) != tags:
            about = [self.entities.RunTag(name, value) for name, value in parameters(tags).items()]
            self.client.log_batch(run, tags=about)
            self._tags[run] = tags

    def params(self, run: "Run", params: Mapping[str, str]) -> None:
        """Set the parameters that a run does not have yet."""
        new = [self.entities.Param(name, value) for name, value in params.items() if name not in run.data.params]
        for start in range(0, len(new), 100):
            self.client.log_batch(run.info.run_id, params=new[start : start + 100])

    def changed(self, run: str, path: Path) -> bool:
        """Return whether a file exists and differs from the one at the last call."""
        try:
            state = path.stat()
        except FileNotFoundError:
            return False
        mark = state.st_size, state.st_mtime_ns
        before, self._marks[run, path] = self._marks.get((run, path)), mark
        return before != mark

    def measure(self, run: str, numbers: Mapping[str, float]) -> None:
        """Log numbers with a single value."""
        latest = self._latest[run]
        self._send(run, [(name, value, 0) for name, value in numbers.items() if latest.get(name) != value])
        latest |= numbers

    def course(self, run: str, lines: Iterable[tuple[int, Mapping[str, float]]]) -> None:
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

    def series(self, run: str, path: Path) -> None:
        """Log the numbers of a training's log, each under the training's name."""
        prefix, course = path.stem.removeprefix("log-"), []
        for line in Log(path).read():
            step = line.pop("step", None)
            if isinstance(step, int):  # in a search's log, a step is a name
                numbers = {f"{prefix}.{name}": value for name, value in line.items() if isinstance(value, int | float)}
                course.append((step, measures(numbers)))
        self.course(run, course)

    def picture(self, run: str, path: Path) -> None:
        """Log the picture that a training drew after some steps, each step once."""
        from PIL import Image

        training, _, step = path.stem.removeprefix("log-").rpartition(".")
        if run not in self._pictures:
            there = (re.split("[+%]", Path(one.path).name) for one in self.client.list_artifacts(run, "images"))
            self._pictures[run] = {(parts[0], parts[2]) for parts in there if parts[1:2] == ["step"]}
        if (training, str(int(step))) not in self._pictures[run]:
            with Image.open(path) as image:
                self.client.log_image(run, image.convert("RGB"), key=training, step=int(step), synchronous=True)
            self._pictures[run].add((training, str(int(step))))

    def table(self, run: str, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Log a table, the only one of its run, in the form that MLflow's pages show."""
        cells = columns(rows)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            files.write_json(path, {"columns": list(cells), "data": list(zip(*cells.values(), strict=True))})
            self.client.log_artifact(run, str(path))
        self.client.set_tag(run, "mlflow.loggedArtifacts", json.dumps([{"path": name, "type": "table"}]))

    def images(self, run: "Run", sets: list[ImageSet]) -> None:
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

    def of_model(
        self, run: str, model: str, measured: Mapping[str, float], costs: Mapping[str, float], images: tuple[str, str]
    ) -> None:
        """Log the figures of a run's generator as metrics of its logged model, too, each once.

        Args:
            run: the id of the run; its metrics of these names are the same.
            model: the id of the logged model.
            measured: metrics of the test images.
            costs: metrics that depend on no image.
            images: name and digest of the test images among the run's inputs; two empty texts if they are unknown.
        """
        known = {(metric.key, metric.value) for metric in self.client.get_logged_model(model).metrics or ()}
        now, name, digest = int(time.time() * 1000), *images
        about = {"dataset_name": name, "dataset_digest": digest} if name else {}
        new = [
            self.entities.Metric(key, value, now, 0, model_id=model, **(about if numbers is measured else {}))
            for numbers in (measured, costs)
            for key, value in numbers.items()
            if (key, value) not in known
        ]
        if new:
            self.client.log_batch(run, metrics=new)
            self._latest.setdefault(run, {}).update({**measured, **costs})

    def _send(self, run: str, metrics: Iterable[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        new = [self.entities.Metric(name, value, now, step) for name, value, step in metrics]
        for start in range(0, len(new), 1000):
            self.client.log_batch(run, metrics=new[start : start + 1000])
