"""Two recipes that share a teacher train it once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from slimgen import stages
from slimgen.recipe import Recipe
from slimgen.run.folder import StageFolder
from slimgen.run.record import digest_folder, read_record
from slimgen.stages.reuse import take_over
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())
FILES = {"generator.safetensors": b"weights" * 1000, "maps/one.npy": b"an array", "log-teacher.jsonl": b'{"step": 6}\n'}


def finished(path: Path, mark: str = "mark") -> StageFolder:
    folder = StageFolder(path, "teach", mark)
    with folder:
        for name, content in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        folder.finish({"seconds": 7.5, "metrics": {"updates": 6}})
    return folder


def begun(path: Path) -> StageFolder:
    return StageFolder(path, "teach", "mark").begin()


def files(path: Path) -> dict[str, bytes]:
    found = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {name: content for name, content in found.items() if name not in ("stage.json", ".lock")}


@pytest.fixture
def neighbour(tmp_path: Path) -> Path:
    finished(tmp_path / "one" / "teach")
    return tmp_path / "one" / "teach"


def test_a_neighbours_results_are_linked_and_its_logs_copied(neighbour: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "two" / "teach")
    taken = take_over(folder)
    assert taken is not None
    assert taken[0] == neighbour
    assert taken[1]["metrics"] == {"updates": 6}
    folder.finish({"metrics": taken[1]["metrics"]})
    assert files(folder.path) == FILES
    assert digest_folder(folder.path) == digest_folder(neighbour)
    assert folder.finished() is not None
    weights, log = "generator.safetensors", "log-teacher.jsonl"
    assert (folder.path / weights).samefile(neighbour / weights)
    assert not (folder.path / log).samefile(neighbour / log)


def test_where_links_are_not_possible_files_are_copied(neighbour: Path, tmp_path: Path, monkeypatch) -> None:
    def refused(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    folder = begun(tmp_path / "two" / "teach")
    assert take_over(folder) is not None
    assert files(folder.path) == FILES
    assert not (folder.path / "generator.safetensors").samefile(neighbour / "generator.safetensors")


def damaged(path: Path) -> None:
    (path / "maps" / "one.npy").write_bytes(b"an ARRAY")  # of the same size


def shortened(path: Path) -> None:
    (path / "generator.safetensors").write_bytes(b"weights")


def unfinished(path: Path) -> None:
    record = json.loads((path / "stage.json").read_text())
    (path / "stage.json").write_text(json.dumps({**record, "finished": False}))


def of_other_things(path: Path) -> None:
    record = json.loads((path / "stage.json").read_text())
    (path / "stage.json").write_text(json.dumps({**record, "fingerprint": "other"}))


@pytest.mark.parametrize("spoil", [damaged, shortened, unfinished, of_other_things])
def test_a_neighbour_that_does_not_hold_the_very_same_is_left_alone(spoil, neighbour: Path, tmp_path: Path) -> None:
    spoil(neighbour)
    before = files(neighbour)
    folder = begun(tmp_path / "two" / "teach")
    assert take_over(folder) is None
    assert files(folder.path) == {}
    assert files(neighbour) == before


def test_the_next_neighbour_serves_where_the_first_is_damaged(neighbour: Path, tmp_path: Path) -> None:
    damaged(neighbour)
    finished(tmp_path / "three" / "teach")
    taken = take_over(begun(tmp_path / "two" / "teach"))
    assert taken is not None
    assert taken[0] == tmp_path / "three" / "teach"


KILLED = """
import os, signal, sys
from slimgen.run.folder import StageFolder
from slimgen.stages.reuse import take_over
folder = StageFolder(sys.argv[1], "teach", "mark").begin()
calls, wanted, whole = 0, int(sys.argv[3]), getattr(os, sys.argv[2])
def dying(*arguments):
    global calls
    calls += 1
    if calls > wanted:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments)
setattr(os, sys.argv[2], dying)
take_over(folder)
"""


@pytest.mark.parametrize(("call", "done"), [("link", 1), ("replace", 0), ("replace", 1)])
def test_killed_while_taking_over_nothing_half_done_passes_for_whole(call, done, neighbour, tmp_path) -> None:
    path = tmp_path / "two" / "teach"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), call, str(done)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert StageFolder(path, "teach", "mark").finished() is None
    # Without the neighbour, what was linked so far goes: a computation must not write into the neighbour's files.
    aside = neighbour.parent.rename(tmp_path.parent / f"{tmp_path.name}-aside")
    folder = begun(path)
    assert take_over(folder) is None
    assert set(files(path)) <= {"log-teacher.jsonl"}
    folder.release()
    shutil.move(aside, tmp_path / "one")
    folder = begun(path)
    assert take_over(folder) is not None
    folder.finish({})
    assert files(path) == FILES


def test_a_second_recipe_with_the_same_teacher_does_not_train_it(template, tmp_path: Path, monkeypatch, capsys) -> None:
    uri = f"sqlite:///{shutil.copy(template, tmp_path)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    write(tmp_path / "images", seed=0, train=12, test=3, size=32)
    one, two = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    arguments = {"data": tmp_path / "images", "until": "teach", "progress": lambda *progress: None}
    first = stages.run(TINY, out=one, **arguments)
    assert "taken over from" not in capsys.readouterr().err
    before = {path: path.read_bytes() for path in one.rglob("*") if path.is_file()}
    other = TINY.override(["name=other", "search.population=8", "supernet.updates=12"])
    second = stages.run(other, out=two, **arguments)
    assert second == first
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{name}: taken over from {one / name}, which has the same result" for name in ("prepare", "teach")]
    assert before == {path: path.read_bytes() for path in one.rglob("*") if path.is_file()}
    for name in ("prepare", "teach"):
        assert files(two / name) == files(one / name)
        records = read_record(one / name), read_record(two / name)
        assert records[0]["digest"] == records[1]["digest"]
        assert records[0]["seconds"] == records[1]["seconds"]
    client = mlflow.MlflowClient(uri)
    (experiment,) = [found for found in client.search_experiments() if found.name == "slimgen"]
    runs = client.search_runs([experiment.experiment_id], f"tags.copied_from = '{one / 'teach'}'")
    assert [run.data.metrics["updates"] for run in runs] == [6.0]
    # Another teacher is another computation.
    stages.run(TINY.override(["teach.updates=4"]), out=tmp_path / "runs" / "three", **arguments)
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["prepare"]
