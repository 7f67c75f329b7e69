"""A tracking store of the test's own, and stages that begin beside it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slimgen.run.entries import surroundings
from slimgen.run.folder import StageFolder
from slimgen.run.store import load_mlflow


@pytest.fixture
def client(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A client of the store in the working folder, which is the test's own."""
    for name in os.environ:
        if name.startswith(("MLFLOW_RUN", "MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "KFP_", "DVC_", "ARGO_")):
            monkeypatch.delenv(name)
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return load_mlflow().MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., StageFolder]:
    """Begins a stage's folder, as a stage does."""

    def begin(stage: str = "search", mark: str = "f", **more: object) -> StageFolder:
        tags = {"recipe": "townhouses", "method": "cf_gan", "task": "paired", "data": "d1", **surroundings()}
        about = {"group": "runs/it's", "tags": tags, "settings": {}, **more}
        return StageFolder(tmp_path / "runs/one" / stage, stage, mark).begin(about)

    return begin
