"""A pipeline on this machine: every component in a process of its own, by the interpreter that is running."""

import os
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_URL, uuid5

from kfp import local

from pipelines.compress import compress
from pipelines.resources import RUN_ID, Cluster
from pipelines.sweep import sweep
from slimgen.errors import DataError, RecipeError, RunError
from slimgen.recipe import Recipe
from slimgen.stopping import passing_on

COPIES = ".artifacts-"
"""How folders of what Kubeflow hands from task to task begin; the number of their process follows."""


def run(recipes: Sequence[Recipe], data: Path, out: Path) -> list[Path]:
    """Runs the compress pipeline of one recipe, or the sweep of several, one after the other.

    The stages keep their work in `out/<recipe>/<stage>`, so that the same command goes on after an interruption. The
    copies that Kubeflow hands from task to task are removed in the end.

    Args:
        recipes: at least one; no two have the same name.
        data: a folder of images in one of the conventional layouts.
        out: where the stages' folders go.

    Returns:
        The folder of each recipe.

    Raises:
        RecipeError: two recipes have the same name.
        DataError: there is no such folder.
        RunError: a stage failed; what it printed says why.
    """
    named(recipes)
    if not data.is_dir():
        raise DataError("data is a folder of images", data, "see `slimgen data --help`")
    home = out.resolve()
    home.mkdir(parents=True, exist_ok=True)
    # The same folder is the same run, also in MLflow.
    os.environ.setdefault(RUN_ID, str(uuid5(NAMESPACE_URL, home.as_uri())))
    os.environ["SLIMGEN_STARTER"] = "pipelines"  # with which the stages end, each in a process of its own
    texts = [recipe.to_yaml() for recipe in recipes]
    where = {"data": str(data.resolve()), "kept": str(home)}
    _sweep(home)
    with (
        passing_on(),
        TemporaryDirectory(prefix=f"{COPIES}{os.getpid()}-", dir=home) as artifacts,
        warnings.catch_warnings(),
    ):
        # Kubeflow warns of an image whose name lacks "python" (ours is this very environment, packed) and of limits
        # that mean nothing on one machine.
        warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
        warnings.filterwarnings("ignore", "Task .* have no effect in the current local runner", UserWarning)
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=artifacts, workspace_root=artifacts)
        try:
            if len(texts) == 1:
                compress()(recipe=texts[0], **where)
            else:
                sweep(Cluster(at_once=1))(recipes=texts, **where)
        except RuntimeError as error:
            hint = "the lines above say why; the same command goes on from here"
            plain = re.sub("\x1b\\[[0-9;]*m", "", str(error)).rstrip(".")
            raise RunError("every stage of a pipeline must finish", plain, hint) from None
    return [home / recipe.name for recipe in recipes]


def _sweep(home: Path) -> None:
    """Removes the copies of runs that were killed."""
    for left in home.glob(f"{COPIES}*"):
        number = left.name.removeprefix(COPIES).partition("-")[0]
        if number.isdigit() and not Path("/proc", number).exists():
            shutil.rmtree(left, ignore_errors=True)


def named(recipes: Sequence[Recipe]) -> None:
    """Checks that no two recipes have the same name, since folders and runs are called by it.

    Raises:
        RecipeError: two have.
    """
    names = [recipe.name for recipe in recipes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError("the recipes of a sweep have different names", ", ".join(twice))
