"""Workers of one test run share the machine: each, and every process that its tests start, computes with its part."""

import os
from pathlib import Path

import pytest

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:  # before PyTorch is imported, which reads it once
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the longest tests come first, so that no worker is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="module", autouse=True)
def untracked():
    """A tracking server that refuses at once, which is quicker than any store. Tests of MLflow name their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; making one takes MLflow seconds, copying it nothing."""
    from slimgen.run.store import load_mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    load_mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path
