"""All stages of a recipe, one after the other, in one folder."""

import time
from pathlib import Path
from typing import Protocol

from slimgen.errors import RecipeError, RunError, nearest
from slimgen.methods import open_method
from slimgen.metrics.registry import check
from slimgen.nets import generator_cost
from slimgen.recipe import STAGES, Recipe
from slimgen.run.record import read_record
from slimgen.stages.comparing import evaluate
from slimgen.stages.exporting import export
from slimgen.stages.frame import Metrics, Tell
from slimgen.stages.learning import finetune, prepare, supernet, teach
from slimgen.stages.searching import search
from slimgen.tasks import check_task

INPUTS = {
    "prepare": (),
    "teach": ("prepare",),
    "supernet": ("prepare", "teach"),
    "search": ("prepare", "teach", "supernet"),
    "finetune": ("prepare", "teach", "supernet", "search"),
    "evaluate": ("prepare", "teach", "search", "finetune"),
    "export": ("finetune", "evaluate"),
}
"""Which stages' folders each stage reads."""


class OnStage(Protocol):
    """Hears of each stage that is done."""

    def __call__(self, name: str, metrics: Metrics, seconds: float, skipped: bool) -> None:
        """The stage, what it measured, how long it took now, and whether it had been done before."""


def run(
    recipe: Recipe,
    *,
    data: Path,
    out: Path,
    until: str | None = None,
    group: str | None = None,
    tell: Tell | None = None,
    on_stage: OnStage | None = None,
) -> dict[str, Metrics]:
    """Runs every stage of a recipe into `out/<stage>`; what is done already is not done again.

    Args:
        recipe: what to do.
        data: the images.
        out: the run's folder.
        until: the last stage to run; all of them by default.
        group: the run's name in MLflow; its folder by default.
        tell: hears of progress.
        on_stage: hears of each stage that is done.

    Returns:
        What each stage measured.

    Raises:
        SlimgenError: as the stages do; what was done until then stays, and the same call goes on from there.
    """
    if until is not None and until not in STAGES:
        raise RunError("--until names a stage", repr(until), nearest(until, STAGES))
    # Faults of the recipe are told before an hour of training, not after.
    check_task(recipe.task)
    if "family" not in recipe.teach.generator:
        raise RecipeError("teach.generator names its family", sorted(recipe.teach.generator), "such as family: resnet")
    generator_cost(height=recipe.size, width=recipe.size, **recipe.teach.generator)
    for metric in (recipe.objective.metric, *recipe.evaluate.metrics):
        check(metric, recipe.evaluate.features)
    open_method(recipe.method).check(recipe)
    functions = {
        "teach": teach,
        "supernet": supernet,
        "search": search,
        "finetune": finetune,
        "evaluate": evaluate,
        "export": export,
    }
    group = group or str(out.resolve())
    done: dict[str, Metrics] = {}
    for name in STAGES:
        started = time.monotonic()
        before = read_record(out / name).get("seconds")
        if name == "prepare":
            done[name] = prepare(recipe, data=data, out=out / name, group=group, tell=tell)
        else:
            folders = {needed: out / needed for needed in INPUTS[name]}
            done[name] = functions[name](recipe, **folders, out=out / name, group=group, tell=tell)  # type: ignore[operator]
        if on_stage is not None:
            skipped = before is not None and read_record(out / name).get("seconds") == before
            on_stage(name, done[name], time.monotonic() - started, skipped)
        if name == until:
            break
    return done
