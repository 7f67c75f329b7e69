"""What all stages have in common: skip what is done, resume what is not, leave a record, tell MLflow."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import slimgen
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.errors import RunError
from slimgen.files import sha256_file
from slimgen.methods import open_method
from slimgen.recipe import Recipe
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.folder import StageFolder
from slimgen.run.log import Log
from slimgen.run.record import Record, digest, digest_folder, fingerprint, read_record
from slimgen.run.tracking import Tracker
from slimgen.stages.reuse import take_over
from slimgen.stages.telling import Lines, Tell, complain
from slimgen.tasks import open_task
from slimgen.tasks.job import Job
from slimgen.training.distributed import first, together, world
from slimgen.training.fit import Journal

__all__ = ["SECTIONS", "SOURCES", "TRAINING", "Body", "Metrics", "Stage", "Tell", "complain", "perform"]

Metrics = dict[str, float]
SECTIONS = {
    "prepare": ("task", "size", "seed", "data"),
    "teach": ("task", "size", "seed", "data", "compute", "losses", "teach"),
    "supernet": ("task", "method", "size", "seed", "data", "compute", "losses", "teach", "supernet"),
    "search": (
        *("task", "method", "size", "seed", "data", "compute", "losses"),
        *("budget", "objective", "teach", "supernet", "search"),
    ),
    "finetune": (
        *("task", "method", "size", "seed", "data", "compute", "losses"),
        *("budget", "teach", "supernet", "finetune"),
    ),
    "evaluate": ("name", "task", "method", "size", "seed", "compute", "budget", "evaluate"),
    "export": ("name", "task", "method", "size", "seed", "data", "budget", "evaluate", "export"),
}
"""The parts of a recipe that a stage reads: if none of them changed, nor its inputs, it need not run again."""

TRAINING = ("teach", "supernet", "finetune")
"""The stages that train."""

SHARED = (*TRAINING, "search")
"""The stages that several processes share; the others are the first one's alone."""

SOURCES: dict[str, tuple[str, ...]] = {
    "prepare": ("data",),
    "teach": ("data/batches.py", "nets", "tasks", "training"),
    "supernet": ("data/batches.py", "methods", "nets", "search", "tasks", "training"),
    "search": (
        *("cost/count.py", "cost/formula.py", "data/batches.py", "export/latency", "methods", "metrics", "nets"),
        *("search", "stages/searching.py", "tasks", "training"),
    ),
    "finetune": ("cost/formula.py", "data/batches.py", "methods", "nets", "search", "tasks", "training"),
    "evaluate": ("cost", "data/batches.py", "metrics", "nets", "report", "stages/comparing.py", "tasks"),
    "export": ("cost/latency.py", "export", "nets", "stages/exporting.py"),
}
"""The code that decides a stage's result, below the package: `dvc.yaml` watches the same."""


@dataclass
class Stage:
    """One stage at work.

    Attributes:
        name: of the stage.
        recipe: of the run.
        inputs: stage name to the folder it left.
        out: where this one writes.
        compute: device, number type and layout.
        tracker: its MLflow run.
        tell: hears of progress.
        mark: the stage's fingerprint.
        home: the folder that holds checkpoints and logs, shared by all processes of a run.
    """

    name: str
    recipe: Recipe
    inputs: Mapping[str, Path]
    out: Path
    compute: Compute
    tracker: Tracker
    tell: Tell
    mark: str
    home: Path

    def job(self) -> Job:
        """The stage's work, as methods and tasks see it."""
        return Job(
            recipe=self.recipe,
            compute=self.compute,
            task=open_task(self.recipe, self.compute),
            data=Prepared.open(self.inputs["prepare"]),
            inputs=self.inputs,
            out=self.out,
            journal=self.journal,
            tell=self.tell,
        )

    def journal(self, name: str) -> Journal:
        """Checkpoints, log and progress of one training of this stage."""
        return Journal(
            checkpoints=Checkpoints(self.home / "checkpoints" / name, self.mark, warn=complain),
            log=Log(self.out / f"log-{name}.jsonl"),
            seconds=self.recipe.compute.checkpoint_seconds,
            progress=lambda done, total, values: self.tell(name, done, total, values),
            metrics=lambda values, step: self.tracker.metrics(
                {f"{name}.{key}": value for key, value in values.items()}, step
            ),
        )


Body = Callable[[Stage], Mapping[str, float]]


def perform(
    name: str,
    recipe: Recipe,
    inputs: Mapping[str, Path],
    out: Path,
    body: Body,
    *,
    group: str | None = None,
    tell: Tell | None = None,
    source: Path | None = None,
) -> Metrics:
    """Runs a stage unless its folder holds this very computation already.

    Args:
        name: of the stage.
        recipe: of the run.
        inputs: stage name to the folder that it left.
        out: the stage's folder.
        body: does the work, and returns what was measured.
        group: what the stages of one run have in common in MLflow; the folder around `out` by default.
        tell: hears of progress; lines on stderr by default.
        source: a folder, or an archive, of images that is an input too.

    Returns:
        What was measured, now or then.

    Raises:
        RunError: an input is missing, unfinished or of another stage.
    """
    out = Path(out)
    digests = {other: _finished(other, Path(path)) for other, path in inputs.items()}
    if source is not None and source.exists():
        digests["source"] = digest_folder(source) if source.is_dir() else sha256_file(source)
    values = recipe.model_dump(mode="json")
    parts = {part: values[part] for part in SECTIONS[name]}
    if name == "search":
        parts["features"] = values["evaluate"]["features"]
        if recipe.budget.latency_ms is not None:
            parts["threads"] = values["evaluate"]["threads"]
    mark = fingerprint(name, parts, {**digests, **named_files(recipe, name), "code": code_digest(name)})
    folder = StageFolder(out, name, mark)
    rank, _ = world()
    done = first(folder.finished)
    if done is not None:
        if rank == 0:
            _remove_checkpoints(out)
        return _numbers(done["metrics"])
    open_method(recipe.method).check(recipe)
    started = time.monotonic()
    compute = choose(recipe.compute.precision, recipe.compute.device, recipe.compute.threads)
    if rank > 0:
        return _follow(name, recipe, inputs, out, body, compute, tell or Lines(), mark)
    tags = {
        "method": recipe.method,
        "task": recipe.task,
        "data": digests.get("prepare", digests.get("source", "")),
        "fingerprint": mark,
    }
    with folder.begin():
        taken = take_over(folder)
        first(lambda: taken is not None)
        if taken is not None:
            tags["copied_from"] = str(taken[0])
            print(f"{name}: taken from {taken[0]}, which holds the same", file=sys.stderr, flush=True)
        where = group or str(out.resolve().parent)
        with Tracker.open(
            stage=name, recipe=recipe.name, group=where, tags=tags, params=parts, warn=complain
        ) as tracker:
            if taken is not None:
                metrics, how = _taken_over(*taken)
            else:
                metrics = _work(body, Stage(name, recipe, inputs, out, compute, tracker, tell or Lines(), mark, out))
                how = {"seconds": round(time.monotonic() - started, 3), "compute": str(compute)}
            about = {"recipe": recipe.to_yaml(), "inputs": digests, "seed": recipe.seed}
            folder.finish({**about, **how, "metrics": metrics})
            # Only now: until the record is written, the checkpoints are what a killed stage goes on from.
            _remove_checkpoints(out)
            tracker.metrics({**metrics, "seconds": how["seconds"]})
    together()
    return metrics


def _work(body: Body, stage: Stage) -> Metrics:
    try:
        return dict(body(stage))
    except OSError as error:
        rule = "a stage must be able to read its inputs and write its folder"
        raise RunError(rule, error, "mend that and run the same command again") from error


def _taken_over(neighbour: Path, record: Record) -> tuple[Metrics, dict[str, object]]:
    """What the record of a stage that was taken over says: what was measured, and how it was computed."""
    how = cast(Mapping[str, object], record)
    origin = {"seconds": how.get("seconds"), "compute": how.get("compute"), "copied_from": str(neighbour)}
    return _numbers(record["metrics"]), origin


def named_files(recipe: Recipe, name: str) -> dict[str, str]:
    """The digests of files that a recipe names by path: their content is an input like any other."""
    paths: list[object] = []
    if name in TRAINING and recipe.losses.perceptual:
        paths.append(recipe.losses.perceptual_network)
    if name == "teach":
        teach = recipe.teach
        paths += [teach.generator_checkpoint, teach.discriminator_checkpoint]
        paths += [teach.back_generator_checkpoint, teach.back_discriminator_checkpoint]
    if name in ("search", "evaluate"):
        paths += [features.get("path") for features in recipe.evaluate.features.values()]
    found = [Path(path) for path in paths if isinstance(path, str)]
    module, colon, _ = str(recipe.teach.generator.get("family", "")).partition(":")
    if colon and name != "prepare":
        found += own_code(module)
    return {str(path): sha256_file(path) for path in found if path.is_file()}


def own_code(module: str) -> list[Path]:
    """The files of a network of one's own: its module, or all of the package that it is in."""
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    files = [path for folder in spec.submodule_search_locations or () for path in Path(folder).rglob("*.py")]
    return sorted(files) or [Path(spec.origin or "")]


@cache
def code_digest(name: str) -> str:
    """The digest of the code that decides a stage's result, so that edited code computes anew."""
    package = Path(slimgen.__file__).parent
    files = [path for source in SOURCES[name] for path in sorted((package / source).rglob("*.py"))]
    files += [package / source for source in SOURCES[name] if source.endswith(".py")]
    return digest({path.relative_to(package).as_posix(): sha256_file(path) for path in files})


def _follow(
    name: str,
    recipe: Recipe,
    inputs: Mapping[str, Path],
    home: Path,
    body: Body,
    compute: Compute,
    tell: Tell,
    mark: str,
) -> Metrics:
    """The part of a process that is not the first.

    It trains and searches along, and what it writes is dropped; the rest it leaves to the first process.
    """
    taken_over = first(lambda: True)  # the first process's answer
    if name in SHARED and not taken_over:
        with tempfile.TemporaryDirectory() as folder:
            body(Stage(name, recipe, inputs, Path(folder), compute, Tracker(None), tell, mark, home))
    together()
    return _numbers(read_record(home)["metrics"])


def _finished(name: str, folder: Path) -> str:
    """The digest of what a stage left."""
    record = read_record(folder)
    if not record.get("finished"):
        raise RunError(f"--{name} is the folder of a finished {name} stage", folder, f"run slimgen {name} first")
    if record["stage"] != name:
        raise RunError(f"--{name} is the folder of a {name} stage", f"{folder}, of a {record['stage']} stage")
    return record["digest"]


def _remove_checkpoints(out: Path) -> None:
    """Checkpoints have served when the stage is done; weights stay in files of their own."""
    home = out / "checkpoints"
    if home.is_dir():
        for folder in home.iterdir():
            Checkpoints(folder, "").clear()
        if not any(home.iterdir()):
            home.rmdir()


def _numbers(values: Mapping[str, object]) -> Metrics:
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
