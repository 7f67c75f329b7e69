"""Workers of one test run share the machine: each, and every process that its tests start, computes with its part."""

import os
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

# A test must hold on a machine that does ten other things, too.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

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
def tiny_run(tmp_path_factory) -> Path:
    """A finished run of `stages/tiny.yaml`, computed once for all workers; nobody may change it."""
    from slimgen import stages
    from slimgen.recipe import load
    from tests.quiet import quiet
    from townhouses import write

    home = tmp_path_factory.getbasetemp()
    shared = (home.parent if "PYTEST_XDIST_WORKER" in os.environ else home) / "tiny"
    with FileLock(f"{shared}.lock"), pytest.MonkeyPatch.context() as patch:
        if not (shared / "run" / "export" / "stage.json").is_file():
            patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
            write(shared / "images", seed=0, train=12, test=3, size=32)
            recipe = load(str(Path(__file__).parent / "stages" / "tiny.yaml"))
            stages.run(recipe, data=shared / "images", out=shared / "run", progress=quiet)
    return shared / "run"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; making one takes MLflow seconds, copying it nothing."""
    from slimgen.run.store import load_mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    load_mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path
