"""What all stages have in common: skip what is done, resume what is not, leave a record, tell MLflow."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

from slimgen.device import choose
from slimgen.errors import RunError
from slimgen.methods import open_method
from slimgen.recipe import Recipe
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.entries import surroundings
from slimgen.run.folder import StageFolder
from slimgen.run.record import Record, read_record, require_layout
from slimgen.run.tracking import tracked
from slimgen.stages.fingerprint import digest_input, fingerprint, sections
from slimgen.stages.reuse import take_over
from slimgen.stages.table import DATA, STAGES, Stage
from slimgen.stages.work import Body, Lines, Metrics, Progress, Work, warn
from slimgen.tasks import check_recipe
from slimgen.training.distributed import first, together, world


def perform(
    name: str,
    recipe: Recipe,
    *,
    out: Path,
    group: str | None = None,
    progress: Progress | None = None,
    **inputs: Path,
) -> Metrics:
    """Runs a stage unless its folder holds this very computation already.

    Args:
        name: of the stage.
        recipe: of the run.
        out: the stage's folder.
        group: what the stages of one run have in common in MLflow; the folder around `out` by default.
        progress: is called as the work goes on; lines on stderr by default.
        inputs: for each stage that this one reads, the folder that it left; to `prepare`, `data`, the images.

    Returns:
        What was measured, now or then.

    Raises:
        RunError: an input is missing, unfinished or of another stage.
        SlimgenError: as the stage's body does; what was done until then stays, and the same call goes on from there.
    """
    stage, out = STAGES[name], Path(out)
    folders = {other: Path(inputs.pop(other)) for other in stage.reads}
    if inputs:
        raise TypeError(f"{name} reads {', '.join(stage.reads)}, and not {', '.join(inputs)}")
    require_layout(out)
    digests = {other: digest_input(other, folder) for other, folder in folders.items()}
    mark = fingerprint(stage, recipe, digests, folders)
    folder = StageFolder(out, name, mark)
    done = first(folder.finished)
    if done is not None:
        if world()[0] == 0:
            _remove_checkpoints(out)
        return _numbers(done["metrics"])
    check_recipe(recipe)
    open_method(recipe.method).check(recipe)
    body: Body = getattr(import_module(f"slimgen.stages.{name}"), name)
    compute = choose(recipe.compute.precision, recipe.compute.device, recipe.compute.threads)
    work = Work(recipe, folders, out, compute, progress or Lines(), mark, out)
    if world()[0] > 0:
        return _follow(stage, body, work)
    tags = {"recipe": recipe.name, "method": recipe.method, "task": recipe.task, **surroundings()}
    tags["data"] = digests.get("prepare", digests.get(DATA, ""))
    about = {
        "recipe": recipe.to_yaml(),
        "inputs": digests,
        "seed": recipe.seed,
        "group": group or str(out.resolve().parent),
        "tags": tags,
        "settings": sections(stage, recipe),
    }
    started = time.monotonic()
    folder.begin(about)
    with tracked(out, warn), folder:
        taken = take_over(folder)
        first(lambda: taken is not None)
        if taken is not None:
            print(f"{name}: taken from {taken[0]}, which holds the same", file=sys.stderr, flush=True)
            metrics, how = _taken_over(*taken)
            how["tags"] = {**tags, "copied_from": str(taken[0])}
        else:
            with _mendable():
                metrics = dict(body(work))
            how = {"seconds": round(time.monotonic() - started, 3), "compute": str(compute)}
        folder.finish({**how, "metrics": metrics})
        # Only now: until the record is written, the checkpoints are what a killed stage goes on from.
        _remove_checkpoints(out)
    together()
    return metrics


@contextmanager
def _mendable() -> Iterator[None]:
    """Files that cannot be read or written are the user's to mend."""
    try:
        yield
    except OSError as error:
        rule = "a stage must be able to read its inputs and write its folder"
        raise RunError(rule, error, "mend that and run the same command again") from error


def _follow(stage: Stage, body: Body, work: Work) -> Metrics:
    """The part of a process that is not the first.

    It trains and searches along, and what it writes is dropped; the rest it leaves to the first process.
    """
    taken_over = first(lambda: True)  # the first process's answer
    if stage.shared and not taken_over:
        with tempfile.TemporaryDirectory() as folder:
            body(replace(work, out=Path(folder)))
    together()
    return _numbers(read_record(work.home)["metrics"])


def _taken_over(neighbour: Path, record: Record) -> tuple[Metrics, dict[str, object]]:
    """What the record of a stage that was taken over says: what was measured, and how it was computed."""
    how = cast(Mapping[str, object], record)
    origin = {"seconds": how.get("seconds"), "compute": how.get("compute"), "copied_from": str(neighbour)}
    return _numbers(record["metrics"]), origin


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
