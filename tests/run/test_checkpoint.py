import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from slimgen.errors import CheckpointError
from slimgen.run.checkpoint import Checkpoints


def state(step: int) -> dict[str, object]:
    return {"weights": torch.full((64, 64), float(step)), "step": step}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_saved_state_is_restored_bit_for_bit(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.randn(3, 5))
    adam = torch.optim.Adam([parameter], lr=2e-4, betas=(0.5, 0.999))
    parameter.grad = torch.ones_like(parameter)
    adam.step()
    saved = {
        "generator": OrderedDict(weight=parameter.detach()),
        "adam": adam.state_dict(),
        "random": torch.get_rng_state(),
        "plain": [1, 2.5, "three", b"four", None, True, (5, {"six": {7}}), torch.float32, torch.Size([1])],
    }
    store = Checkpoints(tmp_path / "checkpoints", "a")
    store.save(7, saved)
    loaded = store.load()
    assert loaded is not None
    step, back = loaded
    assert step == 7
    assert torch.equal(back["generator"]["weight"], parameter)
    assert torch.equal(back["adam"]["state"][0]["exp_avg_sq"], adam.state_dict()["state"][0]["exp_avg_sq"])
    assert back["adam"]["param_groups"] == saved["adam"]["param_groups"]
    assert torch.equal(back["random"], saved["random"])
    assert back["plain"] == saved["plain"]


def test_an_empty_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", "a").load() is None
    Checkpoints(tmp_path / "none", "a").clear()
    assert not (tmp_path / "none").exists()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "a")
    for step in (5, 10, 100, 1000):
        store.save(step, state(step))
    assert [name.split("-")[1] for name in files(tmp_path)] == ["000000100", "000001000"]


@pytest.mark.parametrize("where", [0, 100, 0.5, -30])
def test_a_flipped_bit_anywhere_falls_back_to_the_one_before(tmp_path: Path, where: float) -> None:
    lines: list[str] = []
    store = Checkpoints(tmp_path, "a", warn=lines.append)
    store.save(1, state(1))
    newest = store.save(2, state(2))
    size = newest.stat().st_size
    flip(newest, int(where * size) if isinstance(where, float) else where % size)
    loaded = store.load()
    assert loaded is not None
    assert loaded[0] == 1
    assert torch.equal(loaded[1]["weights"], torch.full((64, 64), 1.0))
    assert len(lines) == 1
    assert "step-000000002 is damaged" in lines[0]


@pytest.mark.parametrize("length", [0, 1, 1000, -1])
def test_a_truncated_newest_falls_back_to_the_one_before(tmp_path: Path, length: int) -> None:
    lines: list[str] = []
    store = Checkpoints(tmp_path, "a", warn=lines.append)
    store.save(1, state(1))
    newest = store.save(2, state(2))
    os.truncate(newest, length % newest.stat().st_size)
    loaded = store.load()
    assert loaded is not None
    assert loaded[0] == 1
    assert len(lines) == 1


def test_when_every_checkpoint_is_damaged_there_is_none(tmp_path: Path) -> None:
    lines: list[str] = []
    store = Checkpoints(tmp_path, "a", warn=lines.append)
    for step in (1, 2):
        flip(store.save(step, state(step)), 200)
    assert store.load() is None
    assert len(lines) == 2


def test_a_damaged_future_does_not_push_out_good_checkpoints(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "a", warn=lambda line: None)
    store.save(10, state(10))
    flip(store.save(20, state(20)), 300)
    store.save(15, state(15))
    assert [name.split("-")[1] for name in files(tmp_path)] == ["000000010", "000000015"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "a")
    flip(store.save(3, state(3)), 300)
    store.save(3, state(3))
    assert len(files(tmp_path)) == 1
    assert store.load() is not None


def test_a_foreign_fingerprint_is_neither_loaded_nor_counted(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "other").save(1000, state(1000))
    store = Checkpoints(tmp_path, "a")
    assert store.load() is None
    store.save(1, state(1))
    store.save(2, state(2))
    assert store.load()[0] == 2
    assert Checkpoints(tmp_path, "other").load()[0] == 1000
    store.clear()
    assert not tmp_path.exists()


def test_a_pickled_object_is_refused_before_it_is_saved(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "a")
    with pytest.raises(TypeError, match=r"got a (Posix)?Path as state\['adam'\]\[1\]"):
        store.save(1, {"adam": [torch.zeros(1), tmp_path]})
    assert files(tmp_path) == []


def test_a_checkpoint_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    import hashlib

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    lines: list[str] = []
    store = Checkpoints(tmp_path, "a", warn=lines.append)
    path = store.save(1, state(1))
    torch.save({"step": 1, "fingerprint": "a", "state": Evil()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(path.with_name("-".join(path.name.split("-")[:3]) + f"-{digest}.pt"))
    assert store.load() is None
    assert not (tmp_path / "ran").exists()
    assert len(lines) == 1


FULL_DISK = """
import resource, sys, torch
from slimgen.errors import CheckpointError
from slimgen.run.checkpoint import Checkpoints
store = Checkpoints(sys.argv[1], "a")
store.save(1, {"weights": torch.ones(1000)})
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    store.save(2, {"weights": torch.ones(100_000)})
except CheckpointError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_previous_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "File too large" in result.stdout
    assert "the checkpoint of step 1 is intact" in result.stdout
    assert len(files(tmp_path)) == 1
    loaded = Checkpoints(tmp_path, "a").load()
    assert loaded is not None
    assert loaded[0] == 1
    assert torch.equal(loaded[1]["weights"], torch.ones(1000))


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write a checkpoint to"):
        Checkpoints(tmp_path / "file" / "checkpoints", "a").save(1, state(1))


SAVE_FOREVER = """
import itertools, sys, torch
from slimgen.run.checkpoint import Checkpoints
store = Checkpoints(sys.argv[1], "a")
for step in itertools.count(1):
    store.save(step, {"weights": torch.full((300_000,), float(step))})
    print(step, flush=True)
"""


def test_a_process_killed_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    lines: list[str] = []
    for delay in (0.003, 0.011, 0.020):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
        store = Checkpoints(tmp_path, "a", warn=lines.append)
        loaded = store.load()
        assert loaded is not None
        step, back = loaded
        assert step >= max(said, default=3)  # what was said to be saved is saved
        assert torch.equal(back["weights"], torch.full((300_000,), float(step)))
        assert lines == []
        store.save(step + 1, back)
        assert not any(name.endswith(".tmp") for name in files(tmp_path))
        store.clear()
