"""What nobody needs goes when it is asked for; what somebody may need, or wrote, stays."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.run import record as records
from slimgen.run.folder import StageFolder
from slimgen.run.place import parked


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    monkeypatch.setattr(records, "machine", dict)


def stage(out: Path, word: str, *, finish: bool = True) -> None:
    with StageFolder(out, "teach", word) as folder:
        (folder.path / "deep").mkdir(exist_ok=True)
        for name in ("weights", "deep/weights", "log-x.jsonl"):
            (folder.path / name).write_text(word * 1000)
        if finish:
            folder.finish({})


def files(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


def tidy(*words: object) -> list[str]:
    said = CliRunner().invoke(app, ["tidy", *map(str, words)])
    assert said.exit_code == 0, said.stderr
    return said.stdout.splitlines()


WHOLE = {"teach/weights", "teach/deep/weights", "teach/log-x.jsonl", "teach/stage.json"}


def test_results_of_other_settings_are_removed_and_the_current_one_and_a_users_files_stay(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for word in "abc":
        stage(run / "teach", word)
    stage(run / "teach", "d", finish=False)
    beside = {word: parked(run / "teach", word) for word in "abd"}
    (beside["b"] / "notes.txt").write_text("mine")
    whole = files(run)
    said = tidy(run, "--dry-run")
    assert files(run) == whole
    assert len(said) == 3
    assert all(line.startswith("would remove ") for line in said)
    assert {line.partition(": ")[2] for line in said} == {
        "a finished teach of other settings",
        "an unfinished teach of other settings",
    }
    said = tidy(run)
    assert files(run) == {*WHOLE, f"{beside['b'].name}/notes.txt"}
    assert f"kept {beside['b'] / 'notes.txt'}, which slimgen did not write" in said
    assert tidy(run) == ["nothing to tidy"]


def test_folders_in_use_and_results_to_be_installed_stay(tmp_path: Path) -> None:
    run = tmp_path / "run"
    stage(run / "teach", "a")
    with StageFolder(run / "teach", "teach", "b"):
        assert tidy(run) == ["nothing to tidy"]
    stage(run / "teach", "b")
    (run / "teach").rename(parked(run / "teach", "b"))  # as if killed before it was in its place
    (run / "search").mkdir()
    StageFolder(run / "search", "search", "s").begin().release()
    assert tidy(run) == ["nothing to tidy"]
    assert StageFolder(run / "teach", "teach", "a").install()
    assert len(tidy(run)) == 1


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    stage(run / "teach", "a")
    for name in ("weights.77.tmp", "deep/stage.json.0.tmp", ".lock", "checkpoints/teacher/step-1.5.tmp"):
        (run / "teach" / name).parent.mkdir(exist_ok=True, parents=True)
        (run / "teach" / name).write_text("")
    half = run / ".townhouses-paired-64.123" / "drawn" / "train"
    half.mkdir(parents=True)
    (half / "0.png").write_text("picture")
    (run / ".set-one-3.11").mkdir()  # a user's, by whatever name
    (run / ".set-one-3.11" / "python").write_text("mine")
    tidy(run)
    assert files(run) == {*WHOLE, ".set-one-3.11/python"}
    assert not half.parents[1].exists()


def test_files_that_other_runs_share_free_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for word in "ab":
        stage(run / "teach", word)
    for name in ("weights", "deep/weights", "log-x.jsonl", "stage.json"):
        os.link(parked(run / "teach", "a") / name, tmp_path / name.replace("/", "-"))
    (line,) = tidy(run)
    assert ", 0 B: " in line


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["tidy", str(tmp_path)])
    assert said.exit_code == 2
    assert said.stderr.startswith("error: a run folder must hold stages; got no stage.json")
