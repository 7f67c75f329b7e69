import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import slimgen
from slimgen import files
from slimgen.errors import RunError
from slimgen.files import read_json, sha256_file, write_json
from slimgen.run.folder import StageFolder
from slimgen.run.log import Log
from slimgen.run.record import (
    LAYOUT,
    Record,
    digest_folder,
    fingerprint,
    read_record,
    require_sound,
    require_whole,
)

DONE: dict[str, object] = {
    "recipe": "r",
    "inputs": {"data": "0" * 64},
    "seed": 1,
    "seconds": 2.5,
    "metrics": {"fid": 30.0},
}


def run_stage(path: Path, word: str = "a", outputs: tuple[str, ...] = ("genotype.json", "images/0.png")) -> Record:
    with StageFolder(path, "search", word) as folder:
        for name in outputs:
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_text(name)
        return folder.finish(DONE)


def test_a_fingerprint_depends_on_content_but_not_on_order_or_version(monkeypatch: pytest.MonkeyPatch) -> None:
    one = fingerprint("search", {"seed": 1, "search": {"rounds": 3, "size": [64, 64]}}, {"data": "x", "teach": "y"})
    same = fingerprint("search", {"search": {"size": (64, 64), "rounds": 3}, "seed": 1}, {"teach": "y", "data": "x"})
    assert one == same
    assert len(one) == 64
    others = [
        fingerprint("export", {"seed": 1, "search": {"rounds": 3, "size": [64, 64]}}, {"data": "x", "teach": "y"}),
        fingerprint("search", {"seed": 2, "search": {"rounds": 3, "size": [64, 64]}}, {"data": "x", "teach": "y"}),
        fingerprint("search", {"seed": 1, "search": {"rounds": 3, "size": [64, 64]}}, {"data": "y", "teach": "x"}),
    ]
    assert len({one, *others}) == 4
    monkeypatch.setattr(slimgen, "__version__", "999")
    again = fingerprint("search", {"seed": 1, "search": {"rounds": 3, "size": [64, 64]}}, {"data": "x", "teach": "y"})
    assert again == one


def test_a_finished_folder_is_recognised_and_describes_itself(tmp_path: Path) -> None:
    record = run_stage(tmp_path / "run")
    folder = StageFolder(tmp_path / "run", "search", "a")
    assert folder.finished() == record
    assert record["outputs"]["genotype.json"]["bytes"] == len("genotype.json")
    assert set(record["outputs"]) == {"genotype.json", "images/0.png"}
    assert record["digest"] == digest_folder(tmp_path / "run")
    assert record["versions"]["torch"] == torch.__version__
    assert record["versions"]["slimgen"] == slimgen.__version__
    assert record["machine"]["threads"] == torch.get_num_threads()
    assert (record["recipe"], record["seed"], record["seconds"]) == ("r", 1, 2.5)
    assert StageFolder(tmp_path / "run", "search", "b").finished() is None
    assert StageFolder(tmp_path / "run", "export", "a").finished() is None
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_folder_whose_outputs_are_missing_or_cut_is_not_finished(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, "search", "a")
    assert folder.finished() is None
    run_stage(tmp_path)
    (tmp_path / "genotype.json").write_text("cut")
    assert folder.finished() is None
    run_stage(tmp_path)
    assert folder.finished() is not None
    (tmp_path / "images/0.png").unlink()
    assert folder.finished() is None
    with pytest.raises(RunError, match=r"images/0\.png"):
        digest_folder(tmp_path)


def test_a_damaged_description_means_not_finished(tmp_path: Path) -> None:
    run_stage(tmp_path)
    for text in ("", "{", "[]", '{"stage": "search", "finished": true}', "null"):
        (tmp_path / "stage.json").write_text(text)
        assert StageFolder(tmp_path, "search", "a").finished() is None


def test_an_interrupted_stage_keeps_its_files_and_is_resumed(tmp_path: Path) -> None:
    with StageFolder(tmp_path, "search", "a"):
        (tmp_path / "trials.jsonl").write_text("1\n")
    assert StageFolder(tmp_path, "search", "a").finished() is None
    with StageFolder(tmp_path, "search", "a") as folder:
        assert (tmp_path / "trials.jsonl").read_text() == "1\n"
        record = folder.finish(DONE)
    assert set(record["outputs"]) == {"trials.jsonl"}


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_of_an_earlier_slimgen_is_refused_in_one_line_and_kept(tmp_path: Path, whole: bool) -> None:
    run_stage(tmp_path / "teach")
    record = read_json(tmp_path / "teach/stage.json")
    assert isinstance(record, dict)
    earlier = {name: value for name, value in record.items() if name != "layout"}
    if not whole:
        earlier = {name: earlier[name] for name in ("stage", "fingerprint", "found")} | {"finished": False}
    write_json(tmp_path / "teach/stage.json", earlier)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"teach was written by an earlier slimgen; it is kept; name another") as fault:
        StageFolder(tmp_path / "teach", "search", "b").begin()
    assert "\n" not in str(fault.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    write_json(tmp_path / "teach/stage.json", {**record, "layout": LAYOUT + 1})
    with pytest.raises(RunError, match="a later slimgen"):
        StageFolder(tmp_path / "teach", "search", "b").begin()


NESTED = "[" * 100_000
DAMAGED = ("", "{", "[]", "null", '"search"', NESTED, '{"stage": "search", "finished": true}', "\0" * 300)


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:20].strip("\0"))
def test_a_record_that_is_damaged_is_one_line_and_costs_nothing(tmp_path: Path, text: str) -> None:
    run_stage(tmp_path)
    (tmp_path / "stage.json").write_text(text)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        RunError, match=r"stage\.json must be a stage's record; got .*; it is kept; name another"
    ) as fault:
        StageFolder(tmp_path, "search", "b").begin()
    assert "\n" not in str(fault.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("key", ["fingerprint", "finished", "outputs", "digest", "metrics", "inputs"])
@pytest.mark.parametrize("value", ["missing", [1], 7])
def test_a_record_without_a_key_or_with_another_type_in_it_is_one_line(tmp_path: Path, key: str, value: object) -> None:
    record = dict(run_stage(tmp_path))
    record = {name: given for name, given in record.items() if name != key or value != "missing"}
    write_json(tmp_path / "stage.json", record if value == "missing" else {**record, key: value})
    with pytest.raises(RunError, match=rf"must be a stage's record; got (no )?'{key}'"):
        require_sound(tmp_path, "it is kept")
    assert read_record(tmp_path) == {}


@pytest.mark.parametrize("name", ["genotype.json", "images/0.png"])
def test_a_flipped_bit_is_found_where_a_stage_would_compute_from_it(tmp_path: Path, name: str) -> None:
    run_stage(tmp_path)
    assert require_whole(tmp_path)["stage"] == "search"
    content = bytearray((tmp_path / name).read_bytes())
    content[3] ^= 4
    (tmp_path / name).write_bytes(content)
    if name.endswith(".png"):  # to be looked at
        require_whole(tmp_path)
        return
    with pytest.raises(
        RunError, match=rf"{name} must be unchanged since search wrote it; .* SHA-256; put it back.* or move {tmp_path}"
    ):
        require_whole(tmp_path)


def test_a_missing_file_and_a_record_that_was_edited_are_found_too(tmp_path: Path) -> None:
    record = run_stage(tmp_path)
    (tmp_path / "genotype.json").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"every file that search wrote must be readable; .*genotype\.json"):
        require_whole(tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "genotype.json")
    outputs = {**record["outputs"], "genotype.json": {"sha256": "0" * 64, "bytes": 13}}
    write_json(tmp_path / "stage.json", {**record, "outputs": outputs})
    with pytest.raises(RunError, match="must be that of its outputs"):
        require_whole(tmp_path)


def test_a_file_is_hashed_once_in_a_process_and_again_once_it_changes(tmp_path: Path, monkeypatch) -> None:
    path, read = tmp_path / "array.npy", []
    monkeypatch.setattr(files, "sha256_file", lambda path: read.append(path) or sha256_file(path))
    path.write_bytes(b"one")
    os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(files, "TICK", 0)
    assert files.sha256_once(path) == files.sha256_once(path) == sha256_file(path)
    assert len(read) == 1
    path.write_bytes(b"two")
    os.utime(path, (1e9, 1e9))  # a time that was set back hides nothing
    assert files.sha256_once(path) == sha256_file(path)
    assert len(read) == 2
    monkeypatch.setattr(files, "TICK", 10**18)
    path.write_bytes(b"new")
    assert files.sha256_once(path) == files.sha256_once(path) == sha256_file(path)
    assert len(read) == 4  # just written, it may change within the same tick


def test_a_file_added_after_the_stage_finished_changes_no_digest(tmp_path: Path) -> None:
    digest = run_stage(tmp_path)["digest"]
    (tmp_path / "mine.txt").write_text("mine")
    assert digest_folder(tmp_path) == digest
    assert StageFolder(tmp_path, "search", "a").finished() is not None
    run_stage(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_found_file_that_the_stage_overwrote_is_an_output(tmp_path: Path) -> None:
    for name in (".gitignore", ".hidden"):
        (tmp_path / name).write_text("mine")
    with StageFolder(tmp_path, "search", "a") as folder:
        (tmp_path / ".hidden").write_text("written")
        assert set(folder.finish(DONE)["outputs"]) == {".hidden"}


def test_a_description_from_elsewhere_cannot_remove_files_outside(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    (tmp_path / "run").mkdir()
    for name in ("../precious", str(tmp_path / "precious"), "a/../../precious"):
        foreign = {
            "layout": LAYOUT,
            "stage": "search",
            "fingerprint": "x",
            "finished": True,
            **{"digest": "", "metrics": {}, "inputs": {}},
            "outputs": {name: {"sha256": "", "bytes": 0}},
        }
        write_json(tmp_path / "run/stage.json", foreign)
        with pytest.raises(RunError, match=r"stage\.json must be a stage's record; got no .*; it is kept"):
            StageFolder(tmp_path / "run", "search", "a").begin()
        assert (tmp_path / "precious").exists()


def test_the_digest_sees_names_and_bytes_but_not_times_or_logs(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, str]) -> str:
        for file, text in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
        return digest_folder(tmp_path / name)

    one = folder("1", {"a": "x", "b/c": "y"})
    noise = {"log.jsonl": "1", "log-student.jsonl": "1", "run.log": "", "checkpoints/s.pt": "2", "a.9.tmp": "3"}
    assert folder("2", {"b/c": "y", "a": "x", **noise}) == one
    os.utime(tmp_path / "1/a", (0, 0))
    assert digest_folder(tmp_path / "1") == one
    assert (
        len({one, folder("3", {"a": "y", "b/c": "x"}), folder("4", {"a": "x", "c": "y"}), folder("5", {"a": "x"})}) == 4
    )


def test_the_digest_follows_links_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("x")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/sub").symlink_to(tmp_path / "real")
    (tmp_path / "linked/sub/loop").symlink_to(tmp_path / "linked")
    (tmp_path / "plain/sub").mkdir(parents=True)
    (tmp_path / "plain/sub/a").write_text("x")
    assert digest_folder(tmp_path / "linked") == digest_folder(tmp_path / "plain")


def test_a_folder_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="an input must be an existing folder"):
        digest_folder(tmp_path / "none")


def test_finishing_a_stage_that_was_not_begun_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="must begin before it can finish"):
        StageFolder(tmp_path, "search", "a").finish(DONE)


HOLD = """
import os, sys, time
from slimgen.run.folder import StageFolder
StageFolder(sys.argv[1], "search", "a").begin()
if sys.argv[2] == "fork" and os.fork() == 0:
    print("worker", flush=True)
    time.sleep(20)
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["alone", "fork"])
def test_two_processes_never_work_in_one_folder_and_a_dead_one_holds_nothing(tmp_path: Path, kind: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path, kind], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        for _ in range(1 + (kind == "fork")):
            process.stdout.readline()
        with pytest.raises(RunError, match=f"in use by process {process.pid}"):
            StageFolder(tmp_path, "search", "a").begin()
        process.kill()
        process.wait()
        StageFolder(tmp_path, "search", "a").begin().release()  # although a forked worker may live on
    finally:
        os.killpg(process.pid, signal.SIGKILL) if kind == "fork" else process.kill()
        process.wait()
        process.stdout.close()


def test_one_process_cannot_take_a_folder_twice(tmp_path: Path) -> None:
    first = StageFolder(tmp_path, "search", "a").begin()
    with pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
        StageFolder(tmp_path, "search", "a").begin()
    first.release()
    StageFolder(tmp_path, "search", "a").begin().release()


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    value = {
        "a": np.float32(0.5),
        "b": torch.tensor([1, 2]),
        "c": (1, None, True),
        "d": float("nan"),
        "e": tmp_path,
        "é": "ü",
    }
    write_json(path, value)
    assert read_json(path) == {"a": 0.5, "b": [1, 2], "c": [1, None, True], "d": None, "e": str(tmp_path), "é": "ü"}
    with pytest.raises(TypeError, match="no JSON form: object"):
        write_json(path, {"a": object()})
    assert read_json(path) is not None
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RunError, match=r"cannot write value\.json"):
        write_json(tmp_path / "none/value.json", {})


def test_a_log_is_read_back_line_by_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs/log.jsonl")
    assert log.read() == []
    for step in range(3):
        log.log(step=step, loss=np.float64(step / 4), nan=float("inf"))
        assert log.read()[-1] == {"step": step, "loss": step / 4, "nan": None}  # flushed at once
    log.close()


def test_a_resumed_log_doubles_no_line_and_keeps_no_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with Log(path) as log:
        for step in range(1, 8):
            log.log(step=step, loss=1 / step)
    whole = path.read_text()
    path.write_text(whole + '{"step": 8, "lo')
    with Log(path) as log:
        log.truncate_after(5)
        for step in (6, 7):
            log.log(step=step, loss=1 / step)
    assert path.read_text() == whole


@pytest.mark.parametrize("length", [1, 70_000, 200_000])
def test_appending_after_a_torn_line_cuts_it_off(tmp_path: Path, length: int) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n' + "x" * length)
    with Log(path) as log:
        log.log(step=2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


FULL_DISK = """
import resource, sys
from slimgen.errors import RunError
from slimgen.run.log import Log
log = Log(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    for step in range(100):
        log.log(step=step, text="x" * 20)
except RunError as error:
    print(error)
"""


def test_a_full_disk_ends_a_log_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    result = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "cannot write log.jsonl" in result.stdout
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1]
