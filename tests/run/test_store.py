"""The store that MLflow keeps: made whole or not at all, in the working folder, and its own project's."""

import shutil
from pathlib import Path

import pytest

from slimgen.errors import RunError
from slimgen.files import GENOTYPE, write_json
from slimgen.run import tracking
from slimgen.run.folder import StageFolder
from slimgen.run.store import Store, load_mlflow
from slimgen.run.tracking import create_store, sync, tracked
from tests.run.test_tracking import finish, runs, use


def test_a_store_that_cannot_be_made_is_a_warning_and_no_error(begin, lines, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    folder = begin()
    with tracked(folder.path, lines.append), folder:
        finish(folder)
    create_store(lines.append)
    assert [line.startswith("MLflow at sqlite:///") for line in lines] == [True, True]
    with pytest.raises(RunError, match="MLflow at sqlite:///"):
        sync(folder.path)


@pytest.mark.parametrize("content", [b"no database at all, and longer than its header", b""])
def test_a_store_that_is_damaged_is_named_with_its_remedy(begin, lines, tmp_path, monkeypatch, content) -> None:
    (tmp_path / "broken.db").write_bytes(content or b"SQLite format 3\0" + bytes(200))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/broken.db")
    folder = begin()
    use(folder, lines)
    assert len(lines) == 1
    assert f"MLflow at sqlite:///{tmp_path}/broken.db is not synced from here on" in lines[0]
    assert "move it away, and slimgen ui --sync writes a new one from the run folders" in lines[0]
    with pytest.raises(RunError, match="move it away"):
        sync(folder.path)


def test_a_store_whose_creation_was_interrupted_is_created_again(template, tmp_path, monkeypatch) -> None:
    cut = [True]

    class Client:
        """Makes a database, or a half of one where it is stopped."""

        def __init__(self, uri: str) -> None:
            self.path = Path(uri.removeprefix("sqlite:///"))

        def search_experiments(self) -> None:
            whole = template.read_bytes()
            self.path.write_bytes(whole[: len(whole) // 2] if cut[0] else whole)
            assert not (tmp_path / "mlflow.db").exists()
            if cut[0]:
                raise KeyboardInterrupt

    monkeypatch.setattr(load_mlflow(), "MlflowClient", Client)
    with pytest.raises(KeyboardInterrupt):
        Store(f"sqlite:///{tmp_path}/mlflow.db")
    assert len(list(tmp_path.glob("*"))) == 2  # the lock, and what is half made
    assert not (tmp_path / "mlflow.db").exists()
    cut[0] = False
    for _ in range(2):  # made, and found
        Store(f"sqlite:///{tmp_path}/mlflow.db")
        assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}
        assert (tmp_path / "mlflow.db").read_bytes() == template.read_bytes()
        cut[0] = True


@pytest.mark.parametrize("name", ["what?", "a#b", "100%20x", "two\nlines"])
def test_the_store_of_a_folder_whose_name_means_something_in_an_address_is_relative(
    name, tmp_path, monkeypatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    assert tracking.store() == "sqlite:///mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert tracking.store() == f"sqlite:///{tmp_path}/mlflow.db"


# One of those: MLflow keeps what it opened under an address, and a relative one is the same in every folder.
@pytest.mark.parametrize("name", ["plain", "what? #1 100%20x", "with blanks", "é"])
def test_the_store_is_in_the_working_folder_whatever_its_name(name, template, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    shutil.copy(template, "mlflow.db")  # which is quicker than to make one
    client = Store(tracking.store()).client
    run = client.create_run(Store(tracking.store()).experiment)
    client.log_text(run.info.run_id, "text", "a.txt")
    assert {path.name for path in Path.cwd().iterdir()} == {"mlflow.db", "mlflow.db.lock", "mlartifacts"}
    assert [path.name for path in Path("mlartifacts").rglob("*.txt")] == ["a.txt"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_copied_project_writes_into_its_own_store_and_not_into_the_originals(tmp_path, template, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    stage = Path("runs/one/search")

    def use_in(project: Path, text: str) -> object:
        monkeypatch.chdir(project)
        with StageFolder(stage, "search", text) as folder:
            write_json(folder.path / GENOTYPE, {"key": text})
            folder.finish({"seconds": 1.0, "metrics": {}})
        sync(stage.parent)
        sync(stage.parent)
        return load_mlflow().MlflowClient(f"sqlite:///{project / 'mlflow.db'}")

    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    shutil.copy(template, one / "mlflow.db")
    use_in(one, "first")
    shutil.copytree(one, two)
    before = {path: path.read_bytes() for path in one.rglob("*") if path.is_file()}
    client = use_in(two, "second")
    assert {path: path.read_bytes() for path in one.rglob("*") if path.is_file()} == before
    experiment = client.get_experiment_by_name("slimgen")
    assert experiment.artifact_location == (two / "mlartifacts").as_uri()
    assert sorted(run.data.tags["slimgen.fingerprint"] for run in runs(client, slimgen__kind="stage")) == ["second"]
    names = {one.name for one in client.search_experiments()} - {"Default"}
    assert names == {"slimgen", f"slimgen of {one}, 1"}
    assert len(list((two / "mlartifacts").rglob(GENOTYPE))) == 2  # the copied one, and its own
    # A store that is named by a link is still its own.
    (tmp_path / "link").symlink_to(two)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'link' / 'mlflow.db'}")
    sync(two / stage.parent)
    assert {one.name for one in client.search_experiments()} - {"Default"} == names


def test_a_store_is_created_once_where_the_process_works(client, lines, tmp_path) -> None:
    create_store(lines.append)
    assert (tmp_path / "mlflow.db").is_file()
    client.delete_experiment(client.get_experiment_by_name("slimgen").experiment_id)
    create_store(lines.append)  # and brought back
    assert client.get_experiment_by_name("slimgen").lifecycle_stage == "active"
    assert lines == []
