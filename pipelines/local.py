"""Pipeline on this machine: each component in its own process, with the running interpreter."""

import os
import re
import shutil
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_URL, uuid5

from kfp import local

from pipelines.compress import compress
from pipelines.condensed import Condensed
from pipelines.resources import RUN_ID, Cluster
from pipelines.sweep import sweep
from slimgen.errors import DataError, RecipeError, RunError
from slimgen.recipe import Recipe
from slimgen.stopping import passing_on

LOG = "pipeline.log"
"""File of everything that Kubeflow and the stages print, in the folder of the run."""
COPIES = ".artifacts-"
"""Prefix of the folders for Kubeflow's artifacts; the id of their process follows."""


def run(recipes: Sequence[Recipe], data: Path, out: Path) -> list[Path]:
    """Run the compress pipeline of one recipe, or the sweep of several recipes one after the other.

    The stages keep their work in `out/<recipe>/<stage>`, so the same command resumes after an interruption. The copies
    that Kubeflow passes between tasks are removed at the end.

    Args:
        recipes: at least one recipe, with different names.
        data: a folder of images in one of the conventional layouts.
        out: the folder for the stages' folders.

    Returns:
        The folder of each recipe.

    Raises:
        RecipeError: two recipes have the same name.
        DataError: the data folder does not exist.
        RunError: a stage failed; its output says why.
    """
    named(recipes)
    if not data.is_dir():
        raise DataError(f"no data set at {data}: there is no such folder", None, "check --data")
    home = out.resolve()
    home.mkdir(parents=True, exist_ok=True)
    # The same folder is the same run, also in MLflow.
    os.environ.setdefault(RUN_ID, str(uuid5(NAMESPACE_URL, home.as_uri())))
    os.environ["SLIMGEN_STARTER"] = "pipelines"  # each stage ends together with this process
    texts = [recipe.to_yaml() for recipe in recipes]
    where = {"data": str(data.resolve()), "kept": str(home)}
    _sweep(home)
    with (
        passing_on(),
        TemporaryDirectory(prefix=f"{COPIES}{os.getpid()}-", dir=home) as artifacts,
        warnings.catch_warnings(),
    ):
        # Kubeflow warns about an image without "python" in its name (ours is this environment) and about limits
        # that have no effect on one machine.
        warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
        warnings.filterwarnings("ignore", "Task .* have no effect in the current local runner", UserWarning)
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=artifacts, workspace_root=artifacts)
        try:
            with (home / LOG).open("w", encoding="utf-8") as log, redirect_stdout(Condensed(sys.stdout, log)):
                if len(texts) == 1:
                    compress()(recipe=texts[0], **where)
                else:
                    sweep(Cluster(at_once=1))(recipes=texts, **where)
        except RuntimeError as error:
            hint = f"see the lines above, or {home / LOG}, for the reason; the same command resumes from here"
            plain = re.sub("\x1b\\[[0-9;]*m", "", str(error)).rstrip(".")
            raise RunError(f"a stage of the pipeline failed: {plain}", None, hint) from None
    return [home / recipe.name for recipe in recipes]


def _sweep(home: Path) -> None:
    """Remove the copies that killed runs left behind."""
    for left in home.glob(f"{COPIES}*"):
        number = left.name.removeprefix(COPIES).partition("-")[0]
        if number.isdigit() and not Path("/proc", number).exists():
            shutil.rmtree(left, ignore_errors=True)


def named(recipes: Sequence[Recipe]) -> None:
    """Check that all recipes have different names, since folders and runs are named after them.

    Raises:
        RecipeError: two recipes have the same name.
    """
    names = [recipe.name for recipe in recipes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError("the recipes of a sweep must have different names", f"{', '.join(twice)} more than once")
