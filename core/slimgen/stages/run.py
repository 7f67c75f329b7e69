"""All stages of a recipe, one after the other, in one folder."""

import time
from pathlib import Path
from typing import Protocol

from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.stages.check import check
from slimgen.stages.perform import perform
from slimgen.stages.table import DATA, up_to
from slimgen.stages.work import Metrics, Progress, say
from slimgen.tasks.embedded import find_images


class OnStage(Protocol):
    """Is called after each stage."""

    def __call__(self, name: str, metrics: Metrics, seconds: float, skipped: bool) -> None:
        """The stage, what it measured, how long it took now, and whether it had been done before."""


def run(
    recipe: Recipe,
    *,
    data: Path | None = None,
    out: Path,
    until: str | None = None,
    group: str | None = None,
    progress: Progress | None = None,
    on_stage: OnStage | None = None,
) -> dict[str, Metrics]:
    """Runs every stage of a recipe into `out/<stage>`; what is done already is not done again.

    Args:
        recipe: what to do.
        data: the images; the folder `data`, or the embedded ones, where none are named.
        out: the run's folder.
        until: the last stage to run; all of them by default.
        group: the run's name in MLflow; its folder by default.
        progress: is called as the work goes on.
        on_stage: is called after each stage.

    Returns:
        What each stage measured.

    Raises:
        SlimgenError: as the stages do; what was done until then stays, and the same call goes on from there.
    """
    planned = up_to(until)
    check(recipe)  # before any picture is drawn
    images = find_images(recipe, data, out, report=say)
    group = group or str(out.resolve())
    done: dict[str, Metrics] = {}
    for stage in planned:
        name = stage.name
        started = time.monotonic()
        before = read_record(out / name).get("seconds")
        folders = {needed: images if needed == DATA else out / needed for needed in stage.reads}
        done[name] = perform(name, recipe, out=out / name, group=group, progress=progress, **folders)
        if on_stage is not None:
            skipped = before is not None and read_record(out / name).get("seconds") == before
            on_stage(name, done[name], time.monotonic() - started, skipped)
    return done
