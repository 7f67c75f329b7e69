"""Results of other settings are kept: parked beside, told in a line, and taken up again. Whatever kills it."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from slimgen.errors import RunError
from slimgen.run import folder as folders
from slimgen.run import record as records
from slimgen.run.folder import StageFolder
from slimgen.run.lock import sweep
from slimgen.run.place import is_parked, parked, require_place
from slimgen.run.record import read_record, require_whole

# A child that only writes files may be forked beside the threads of libraries.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    """What a record says of the machine takes PyTorch's import to find out, which is not at stake here."""
    monkeypatch.setattr(records, "machine", dict)


def work(out: Path, word: str, *, finish: bool = True, say: Callable[[str], None] = print) -> StageFolder:
    """As a stage does: what is there already is not computed again, and the result is put into its place."""
    folder = StageFolder(out, "teach", word, say)
    if folder.finished() or folder.install():
        sweep(out)
        return folder
    with folder:
        place = folder.path
        (place / "log-teacher.jsonl").write_text("{}\n")
        (place / "checkpoints").mkdir(exist_ok=True)
        (place / "checkpoints" / "step").write_text(word)
        (place / "weights").write_text(word)
        if finish:
            folder.finish({"metrics": {"updates": 1}})
    return folder


def files(path: Path) -> dict[str, str]:
    found = {file.relative_to(path).as_posix(): file.read_text() for file in path.rglob("*") if file.is_file()}
    return {name: text for name, text in found.items() if Path(name).name != "stage.json"}


def held(out: Path, word: str) -> Path:
    """Where a finished result is whole."""
    places = [out, parked(out, word)]
    whole = [place for place in places if place.is_dir() and read_record(place).get("fingerprint") == word]
    assert len(whole) == 1
    assert require_whole(whole[0])["finished"]
    assert (whole[0] / "weights").read_text() == word
    return whole[0]


def test_a_finished_result_stays_until_another_is_finished_and_is_then_parked(tmp_path: Path) -> None:
    out, lines = tmp_path / "run" / "teach", []
    work(out, "a")
    (out / "notes.txt").write_text("mine")
    before = files(out)
    work(out, "b", finish=False, say=lines.append)
    assert files(out) == before
    assert read_record(out)["fingerprint"] == "a"
    assert work(out, "a", say=lines.append).finished() is not None  # a typing error costs nothing
    beside = parked(out, "b")
    assert len(lines) == 1
    assert f"teach: the finished result of other settings stays in {out} until this one is finished" in lines[0]
    assert lines[0].endswith(f"working in {beside.name} beside it")
    work(out, "b", say=lines.append)
    assert lines[2:] == [f"teach: the old result in {out} is kept as {parked(out, 'a').name}; slimgen tidy removes it"]
    assert held(out, "b") == out
    assert held(out, "a") == parked(out, "a")
    assert is_parked(parked(out, "a"))
    assert not beside.exists()
    assert not is_parked(out)
    # What is the user's stays where it was put.
    assert (out / "notes.txt").read_text() == "mine"
    assert not (parked(out, "a") / "notes.txt").exists()
    assert not list(tmp_path.rglob(".lock"))


def test_a_result_of_before_is_taken_back_and_not_computed_again(tmp_path: Path) -> None:
    out = tmp_path / "teach"
    work(out, "a")
    time = (out / "weights").stat().st_mtime_ns
    work(out, "b")
    lines = []
    work(out, "a", say=lines.append)
    assert held(out, "a") == out
    assert (out / "weights").stat().st_mtime_ns == time
    assert held(out, "b") == parked(out, "b")
    assert len(lines) == 1


def test_unfinished_work_is_parked_at_once_and_resumed_on_request(tmp_path: Path) -> None:
    out, lines = tmp_path / "teach", []
    work(out, "a", finish=False)
    (out / "notes.txt").write_text("mine")  # found by nobody, it may be the stage's: it stays with that
    work(out, "b", finish=False, say=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith(
        f"teach: the unfinished one of other settings in {out} is kept as {parked(out, 'a').name}"
    )
    assert files(parked(out, "a"))["checkpoints/step"] == "a"
    with StageFolder(out, "teach", "a") as again:
        assert again.path == out
        assert files(out)["checkpoints/step"] == "a"
        assert files(parked(out, "b"))["checkpoints/step"] == "b"
        again.finish({})
    assert held(out, "a") == out


def test_a_result_that_lacks_a_file_is_computed_again_with_a_word(tmp_path: Path) -> None:
    out, lines = tmp_path / "teach", []
    work(out, "a")
    (out / "weights").unlink()
    work(out, "a", say=lines.append)
    assert held(out, "a") == out
    assert lines == [f"teach: runs again, as files that it wrote to {out} are missing"]


def test_a_link_to_a_folder_elsewhere_stays_a_link(tmp_path: Path) -> None:
    real, out = tmp_path / "big" / "teach", tmp_path / "run" / "teach"
    real.mkdir(parents=True)
    out.parent.mkdir()
    out.symlink_to(real)
    work(out, "a")
    work(out, "b")
    assert out.is_symlink()
    assert held(out, "b") == out
    assert held(out, "a") == tmp_path / "big" / parked(real, "a").name


CALLS = ("rename", "replace", "unlink", "mkdir")


def dies(before: int, doing: Callable[[], object]) -> bool:
    """Does something in a process that dies by SIGKILL before its so many-th step on the disk; whether it died."""
    child = os.fork()
    if child == 0:
        left = iter([None] * before)

        def counted(call):
            def dying(*arguments, **options):
                if next(left, "over") == "over":
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **options)

            return dying

        try:
            for name in CALLS:
                setattr(os, name, counted(getattr(os, name)))
            doing()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_killed_between_any_two_steps_nothing_is_lost_and_either_command_ends_as_it_would(tmp_path: Path) -> None:
    count, died = 0, True
    while died:
        out = tmp_path / str(count) / "teach"
        work(out, "a")
        (out / "notes.txt").write_text("mine")
        died = dies(count, lambda out=out: work(out, "b"))
        time = (held(out, "a") / "weights").stat().st_mtime_ns
        assert [file.read_text() for file in out.parent.rglob("notes.txt")] == ["mine"]
        other = shutil.copytree(out.parent, tmp_path / f"{count} of before") / "teach"
        work(out, "b")
        assert held(out, "b") == out
        assert held(out, "a") == parked(out, "a")
        assert not [*out.parent.rglob("*.tmp"), *out.rglob(".lock")]
        assert sorted(out.parent.iterdir()) == [out, parked(out, "a")]
        # The settings of before find their result, and compute nothing.
        work(other, "a")
        assert held(other, "a") == other
        assert (other / "weights").stat().st_mtime_ns == time
        count += 1
    assert count > 12


def test_unfinished_work_can_be_resumed_after_a_kill_during_parking(tmp_path: Path) -> None:
    count, died = 0, True
    while died:
        out = tmp_path / str(count) / "teach"
        work(out, "a", finish=False)
        died = dies(count, lambda out=out: work(out, "b", finish=False))
        with StageFolder(out, "teach", "a") as again:
            assert (again.path / "checkpoints" / "step").read_text() == "a"
        count += 1
    assert count > 5


def test_two_processes_never_work_at_one_stage_whatever_their_settings(tmp_path: Path) -> None:
    out = tmp_path / "teach"
    work(out, "a")
    with StageFolder(out, "teach", "b"), pytest.raises(RunError, match="in use by process"):
        StageFolder(out, "teach", "c").begin()


def test_a_folder_that_cannot_be_renamed_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "teach"
    work(out, "a")
    monkeypatch.setattr(folders.os.path, "ismount", lambda path: Path(path) == out)
    with pytest.raises(RunError, match="renamed to keep its finished teach of other settings; got a mount point"):
        StageFolder(out, "teach", "b").begin()
    assert held(out, "a") == out


# Typing errors in --out: name to the text of the refusal.
def of_another_stage(root: Path) -> tuple[Path, str]:
    with StageFolder(root / "supernet", "supernet", "s") as folder:
        (root / "supernet" / "weights").write_text("s")
        folder.finish({})
    return root / "supernet", "must be the folder of a teach stage"


def begun_by_another_stage(root: Path) -> tuple[Path, str]:
    StageFolder(root / "supernet", "supernet", "s").begin().release()
    return root / "supernet", "must be the folder of a teach stage"


def in_another_stage(root: Path) -> tuple[Path, str]:
    return of_another_stage(root)[0] / "deeper" / "still", "outside the folders of other stages"


def an_input(root: Path) -> tuple[Path, str]:
    return root / "images", "another folder than --data"


def in_the_data(root: Path) -> tuple[Path, str]:
    return root / "images" / "train" / "new", "must lie outside --data"


def around_the_data(root: Path) -> tuple[Path, str]:
    return root, "must not contain --data"


def by_another_name(root: Path) -> tuple[Path, str]:
    (root / "link").symlink_to(root / "images")
    return root / "link" / ".." / "images", "another folder than --data"


def of_a_user(root: Path) -> tuple[Path, str]:
    (root / "documents" / "letters").mkdir(parents=True)
    (root / "documents" / "letters" / "one.txt").write_text("mine")
    return root / "documents", r"which holds letters/one\.txt"


def of_a_whole_run(root: Path) -> tuple[Path, str]:
    work(root / "run" / "teach", "a")
    return root / "run", r"which holds teach/(stage\.json|weights)"


def with_a_link_to_a_users(root: Path) -> tuple[Path, str]:
    (root / "links").mkdir()
    (root / "links" / "documents").symlink_to(of_a_user(root)[0])
    return root / "links", "which holds documents"


def with_a_record_of_something_else(root: Path) -> tuple[Path, str]:
    (root / "theatre").mkdir()
    (root / "theatre" / "stage.json").write_text('{"stage": 3}')
    return root / "theatre", "must be a stage's record"


@pytest.mark.parametrize(
    "wrong",
    [
        *(of_another_stage, begun_by_another_stage, in_another_stage, an_input, in_the_data, around_the_data),
        *(by_another_name, of_a_user, of_a_whole_run, with_a_link_to_a_users, with_a_record_of_something_else),
    ],
)
def test_a_typing_error_in_out_is_one_line_and_costs_nothing(wrong, tmp_path: Path) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "images" / "train" / "0.png").write_text("picture")
    out, words = wrong(tmp_path)
    before = files(tmp_path)
    with pytest.raises(RunError, match=words) as fault:
        require_place(out, "teach", {"data": tmp_path / "images"})
    assert "\n" not in str(fault.value)
    assert "--out" in str(fault.value)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", [".gitignore", "slurm-7.log", "stage.json.123.tmp", ".lock"])
def test_files_of_tools_in_a_new_folder_do_not_matter(name: str, tmp_path: Path) -> None:
    out = tmp_path / "teach"
    out.mkdir()
    (out / name).write_text("")
    work(out, "a")
    assert held(out, "a") == out
    assert not (out / name).exists() or not name.endswith(("tmp", "lock"))
