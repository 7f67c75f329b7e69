"""What a stage tells MLflow. The run folder is the truth; the tracker is a copy, and never fails a stage."""

import io
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from slimgen.run.background import Background, reachable
from slimgen.run.entries import columns, entry_name, file_name, measures, parameters, registered_name, surroundings
from slimgen.run.stage_run import StageRun, alone, experiment

T = TypeVar("T")
Status = Literal["FINISHED", "FAILED", "KILLED"]
OPENING, CLOSING = 20.0, 60.0  # seconds without progress after which a server that answers is given up all the same
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


class Drawing(Protocol):
    """A matplotlib figure."""

    def savefig(self, file: io.BytesIO, *, format: str) -> object:  # noqa: A002 - matplotlib's word
        """Writes the picture."""


def store() -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, else SQLite in the working folder, by its absolute path."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def create_store(warn: Callable[[str], None] = print) -> str | None:
    """Creates or migrates the tracking store, once, before several processes use it at a time.

    Returns:
        Its URI, or None (and one warning line) if it cannot be used.
    """
    uri = store()
    background = _background(uri, warn)

    def make() -> str:
        mlflow = _mlflow()
        with alone(uri):
            return experiment(mlflow.MlflowClient(uri), uri)

    made = background.ask(make, CLOSING)
    background.stop()
    return uri if made else None


def _mlflow() -> ModuleType:
    """Imports MLflow, which takes a second or more, so that it is quiet, patient and reports to nobody."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # What these libraries warn of among themselves is for their authors, and must not stop a stage as an error.
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy|alembic|pydantic)(\.|$)")
    import mlflow
    import mlflow.entities
    import mlflow.models
    import mlflow.onnx

    module: ModuleType = mlflow
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return module


def _background(uri: str, warn: Callable[[str], None]) -> Background:
    """The thread that speaks to a store; already stopped, with one warning line, if nothing answers there."""

    def failed(reason: str) -> None:
        secret = re.compile(r"//[^/@\s]*@")  # a password in the address
        warn(
            f"MLflow at {secret.sub('//', uri)} is left out from here on ({secret.sub('//', reason)}); "
            "everything is in the run folder all the same."
        )

    remote = uri.startswith(("http://", "https://"))
    background = Background(failed, (lambda: reachable(uri)) if remote else (lambda: True))
    if remote and not reachable(uri):
        background.stop("it does not answer")
    return background


class Tracker:
    """One stage's run in MLflow, nested in the run of its recipe.

    Everything is sent by a thread beside the stage. The first thing that goes wrong is one warning line, and the end
    of tracking for this stage; no method raises, and none waits but `open`, `register`, `promote` and `close`.
    Made by `Tracker.open`; as a context manager it closes itself, with the status that the block's end deserves.
    """

    def __init__(self, background: Background | None) -> None:
        self._background = background
        self._run: StageRun | None = None

    @classmethod
    def open(
        cls,
        *,
        stage: str,
        recipe: str,
        group: str,
        tags: Mapping[str, str],
        params: Mapping[str, object],
        enabled: bool = True,
        warn: Callable[[str], None] = print,
    ) -> "Tracker":
        """Begins the run of a stage, or continues it.

        The same group, stage and `fingerprint` tag find the same run again; MLFLOW_RUN_ID overrules all three.

        Args:
            stage: the stage's name, and the run's.
            recipe: the recipe's name, and the parent run's.
            group: what the stages of one run of the recipe have in common, such as its folder.
            tags: method, task, data digest, fingerprint.
            params: parameters, nested or flat; those already there are left as they are.
            enabled: False gives a tracker that does nothing, without importing MLflow.
            warn: called with the one warning line.
        """
        if not enabled:
            return cls(None)
        uri = store()
        background = _background(uri, warn)
        tracker = cls(background)

        def begin(mlflow: ModuleType) -> StageRun:
            about = {"recipe": recipe, **surroundings(), **{entry_name(key): str(tags[key]) for key in tags}}
            with alone(uri):
                return StageRun(mlflow, uri, stage, recipe, group, about, parameters(params))

        mlflow = background.ask(_mlflow, CLOSING)
        if mlflow is not None:
            tracker._run = background.ask(partial(begin, mlflow), CLOSING if uri.startswith("sqlite") else OPENING)
        if tracker._run is not None:
            background.idle = tracker._run.flush
        return tracker

    @property
    def on(self) -> bool:
        """Whether anything is still being sent."""
        return self._run is not None and self._background is not None and self._background.on

    @property
    def run_id(self) -> str | None:
        """The id of the stage's run, if it has one."""
        return self._run.id if self._run is not None else None

    def metrics(self, values: Mapping[str, object], step: int = 0) -> None:
        """Logs the numbers among the values; what is NaN, or was logged before this run was resumed, is left out."""
        now = int(time.time() * 1000)
        self._send(lambda run: partial(run.measure, measures(values), step, now))

    def headline(self, values: Mapping[str, object]) -> None:
        """Logs numbers to the recipe's own run, so that runs of recipes can be compared without unfolding them."""
        now = int(time.time() * 1000)
        self._send(lambda run: partial(run.headline, measures(values), now))

    def image(self, name: str, array: NDArray[np.uint8], step: int | None = None) -> None:
        """Logs a picture, uint8 (H, W, 3): one of a series if it has a step, else a file that replaces the last."""
        self._send(lambda run: partial(run.image, file_name(name), np.array(array), step))

    def figure(self, name: str, figure: Drawing) -> None:
        """Logs a matplotlib figure as a PNG."""

        def draw(run: StageRun) -> Callable[[], None]:
            picture = io.BytesIO()
            figure.savefig(picture, format="png")
            return partial(run.file, f"{file_name(name)}.png", picture.getvalue())

        self._send(draw)

    def text(self, name: str, text: str) -> None:
        """Logs a text as a file, such as `genotype.json`."""
        self._send(lambda run: partial(run.file, file_name(name), text.encode()))

    def table(self, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Logs a table, one row for each mapping, in place of the last of that name."""
        self._send(lambda run: partial(run.table, f"{file_name(name)}.json", columns(rows)))

    def artifact(self, path: str | os.PathLike[str], folder: str | None = None) -> None:
        """Logs a file, or a folder with all that is in it, which must stay as it is until the tracker is closed."""
        self._send(lambda run: partial(run.artifact, Path(path), folder))

    def child(
        self,
        name: str,
        params: Mapping[str, object],
        metrics: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs one member of the Pareto front as a run of its own; the same name again updates it.

        Args:
            name: what tells it from the others.
            params: its choices.
            metrics: quality, macs, params, latency.
            tags: anything else.
        """
        self._send(lambda run: partial(run.child, name, parameters(params), measures(metrics), dict(tags or {})))

    def register(
        self,
        path_onnx: str | os.PathLike[str],
        example_input: NDArray[np.float32],
        example_output: NDArray[np.float32],
        model_name: str,
        alias: str = "candidate",
        tags: Mapping[str, str] | None = None,
    ) -> str | None:
        """Registers an ONNX model with its signature; the same file again gives the version it already has.

        Args:
            path_onnx: the file.
            example_input: (N, C, H, W); only its type and its shape after the first axis are kept.
            example_output: what the model makes of it.
            model_name: the registered model, made if there is none; `/` and the like become `-`.
            alias: what the version is called from now on.
            tags: of the version.

        Returns:
            The version, or None if it could not be registered.
        """
        name, about = registered_name(model_name), dict(tags or {})
        return self._ask(lambda run: run.register(Path(path_onnx), example_input, example_output, name, alias, about))

    def promote(self, model_name: str, version: str, alias: str = "champion") -> None:
        """Gives a registered version one more alias, taking it from the version that had it."""
        self._ask(lambda run: run.alias(registered_name(model_name), version, alias))

    def close(self, status: Status = "FINISHED") -> None:
        """Sends what is left and ends the run, and with it, for now, the recipe's."""
        self._ask(lambda run: run.end(status))
        if self._background is not None:
            self._background.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    def _send(self, prepare: Callable[[StageRun], Callable[[], object]]) -> None:
        """Prepares a call here and now, since values may change later, and has it made in its turn."""
        if self._background is None or self._run is None or not self._background.on:
            return
        try:
            call = prepare(self._run)
        except Exception as error:  # a value of a kind that MLflow cannot take must not fail a stage either
            self._background.stop(f"{type(error).__name__}: {error}")
        else:
            self._background.submit(call)

    def _ask(self, call: Callable[[StageRun], T]) -> T | None:
        if self._background is None or self._run is None:
            return None
        return self._background.ask(partial(call, self._run), CLOSING)
