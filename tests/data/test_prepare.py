import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_pairs
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError

FACADES = Path(__file__).parents[2] / ".." / "shared" / "data" / "facades"
SETTING = Setting(size=16, load=20, direction="BtoA", validation=2, seed=0)


def side_by_side(folder: Path, *, train: int = 8, test: int = 3, side: int = 24) -> Path:
    """Pairs of noise; the left half is darker than the right."""
    rng = np.random.default_rng(7)
    for split, count in (("train", train), ("test", test)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            left, right = (rng.integers(low, low + 100, (side, side, 3), dtype=np.uint8) for low in (0, 120))
            Image.fromarray(np.concatenate([left, right], 1)).save(folder / split / f"{i:03d}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pairs_become_arrays_of_their_split(tmp_path: Path) -> None:
    manifest = prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", SETTING)
    prepared = Prepared.open(tmp_path / "out", verify=True)
    assert prepared.manifest == manifest
    shapes = {name: prepared.split(name).input.shape for name in ("train", "val", "test")}
    assert shapes == {"train": (6, 20, 20, 3), "val": (2, 16, 16, 3), "test": (3, 16, 16, 3)}
    train = prepared.split("train")
    assert train.input.min() > train.target.max()
    assert isinstance(train.input, np.memmap)
    assert not train.input.flags.writeable
    names = set(train.names) | set(prepared.split("val").names)
    assert names == {f"{i:03d}.png" for i in range(8)}


def test_images_of_the_right_size_are_kept_exactly_and_the_direction_chooses_the_halves(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in", side=16)
    setting = replace(SETTING, load=16)
    for direction, first in (("AtoB", slice(0, 16)), ("BtoA", slice(16, 32))):
        prepare_pairs(folder, tmp_path / direction, replace(setting, direction=direction))
        test = Prepared.open(tmp_path / direction).split("test")
        for i, name in enumerate(test.names):
            assert np.array_equal(test.input[i], np.asarray(Image.open(folder / "test" / name))[:, first])


def test_mean_and_deviation_are_those_of_the_array_in_minus_one_to_one(tmp_path: Path) -> None:
    manifest = prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", SETTING)
    train = Prepared.open(tmp_path / "out").split("train")
    for side, array in (("input", train.input), ("target", train.target)):
        values = array.astype(np.float64) / 127.5 - 1
        assert manifest.mean[side] == pytest.approx(values.mean((0, 1, 2)), abs=1e-12)
        assert manifest.std[side] == pytest.approx(values.std((0, 1, 2)), abs=1e-12)


def test_equal_calls_write_equal_bytes_and_other_settings_another_digest(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in")
    first = prepare_pairs(folder, tmp_path / "a", SETTING)
    assert prepare_pairs(folder, tmp_path / "b", SETTING) == first
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for change in ({"seed": 1}, {"direction": "AtoB"}, {"load": 24}, {"validation": 3}):
        assert prepare_pairs(folder, tmp_path / "c", replace(SETTING, **change)).digest != first.digest


def test_adding_images_changes_the_validation_split_by_at_most_as_many(tmp_path: Path) -> None:
    prepare_pairs(side_by_side(tmp_path / "few", train=20), tmp_path / "a", replace(SETTING, validation=6))
    prepare_pairs(side_by_side(tmp_path / "more", train=21), tmp_path / "b", replace(SETTING, validation=6))
    few, more = (set(Prepared.open(tmp_path / name).split("val").names) for name in "ab")
    assert len(few) == len(more) == 6
    assert len(few & more) >= 5


def test_a_fraction_holds_out_its_share(tmp_path: Path) -> None:
    manifest = prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", replace(SETTING, validation=0.25))
    assert manifest.splits["val"].count == 2


@pytest.mark.parametrize("validation", [0, 8, -1, 0.0, 1.0, math.nan, math.inf])
def test_a_validation_split_of_nothing_or_everything_is_refused(tmp_path: Path, validation: float) -> None:
    with pytest.raises(DataError, match=r"data\.validation must be fewer than the 8 training pairs"):
        prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", replace(SETTING, validation=validation))


def test_a_data_set_with_its_own_val_and_test_keeps_both(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in")
    (folder / "val").mkdir()
    (folder / "test" / "000.png").rename(folder / "val" / "own.png")
    manifest = prepare_pairs(folder, tmp_path / "out", SETTING)
    assert {name: record.count for name, record in manifest.splits.items()} == {"train": 8, "val": 1, "test": 2}


def test_a_data_set_with_val_alone_is_tested_on_it(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in")
    (folder / "test").rename(folder / "val")
    manifest = prepare_pairs(folder, tmp_path / "out", SETTING)
    assert {name: record.count for name, record in manifest.splits.items()} == {"train": 6, "val": 2, "test": 3}


def test_partners_in_two_folders_are_prepared_and_those_without_listed(tmp_path: Path) -> None:
    for where in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / where).mkdir()
        for i in range(4):
            value = i * 50 + 5 * (where[-1] == "B")
            Image.fromarray(np.full((20, 20, 3), value, np.uint8)).save(tmp_path / where / f"{i}.png")
    (tmp_path / "trainB" / "0.png").unlink()
    manifest = prepare_pairs(tmp_path, tmp_path / "out", replace(SETTING, validation=1, direction="AtoB"))
    assert manifest.unmatched == ("trainA/0.png",)
    train = Prepared.open(tmp_path / "out").split("train")
    assert np.array_equal(train.target, train.input + np.uint8(5))
    assert manifest.sources.keys() == {f"{s}{x}/{i}.png" for s in ("train", "test") for x in "AB" for i in range(4)} - {
        "trainA/0.png",
        "trainB/0.png",
    }


def test_damaged_images_are_left_out_with_their_reason(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in", train=10)
    image = folder / "train" / "004.png"
    image.write_bytes(image.read_bytes()[:500])
    (folder / "train" / "notes.png").write_text("not a picture")
    Image.fromarray(np.zeros((20, 41, 3), np.uint8)).save(folder / "train" / "odd.png")
    manifest = prepare_pairs(folder, tmp_path / "out", SETTING)
    assert set(manifest.rejected) == {"train/004.png", "train/notes.png", "train/odd.png"}
    assert "41 pixels wide" in manifest.rejected["train/odd.png"]
    kept = manifest.splits["train"].names + manifest.splits["val"].names
    assert not {"004.png", "notes.png", "odd.png"} & set(kept)
    Prepared.open(tmp_path / "out", verify=True)


def test_images_smaller_than_the_crop_are_rejected_and_the_hint_is_a_smaller_size(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in", side=12)
    with pytest.raises(DataError, match=r"is 12 high and 12 wide, smaller than the crop of 16 x 16.*at most 12"):
        prepare_pairs(folder, tmp_path / "out", SETTING)


def test_partners_of_another_shape_are_rejected(tmp_path: Path) -> None:
    for where, shape in (
        ("trainA", (20, 20, 3)),
        ("trainB", (20, 30, 3)),
        ("testA", (20, 20, 3)),
        ("testB", (20, 20, 3)),
    ):
        (tmp_path / where).mkdir()
        for i in range(2):
            Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / where / f"{i}.png")
    with pytest.raises(DataError, match=r"is .*, but its partner is"):
        prepare_pairs(tmp_path, tmp_path / "out", replace(SETTING, validation=1))


def test_more_than_half_rejected_is_an_error_with_the_first_reasons(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in", train=8, test=1)
    for i in range(5):
        (folder / "train" / f"{i:03d}.png").write_text("text")
    with pytest.raises(DataError, match=r"5 of 9 rejected: train/.*is not an image"):
        prepare_pairs(folder, tmp_path / "out", replace(SETTING, validation=1))
    assert contents(tmp_path / "out") == {}


def test_a_split_that_ends_empty_is_an_error(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in", test=1)
    (folder / "test" / "000.png").write_text("text")
    with pytest.raises(DataError, match="'test' must keep at least one pair"):
        prepare_pairs(folder, tmp_path / "out", SETTING)


def test_a_load_below_the_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="size 16 x 16, load 15 x 15"):
        prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", replace(SETTING, load=15))


def test_progress_counts_every_pair(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = side_by_side(tmp_path / "in")
    prepare_pairs(folder, tmp_path / "out", SETTING, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 11) for i in range(11)]


KILLED = """
import os, signal, sys
from pathlib import Path
from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_pairs
def progress(done, total):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
prepare_pairs(Path(sys.argv[1]), Path(sys.argv[2]), Setting(16, 20, "BtoA", validation=2), progress)
"""


def test_a_killed_preparation_starts_again_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    folder, out = side_by_side(tmp_path / "in"), tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any(name.endswith(".partial") for name in os.listdir(out))
    with pytest.raises(DataError, match=r"no manifest\.json"):
        Prepared.open(out)
    prepare_pairs(folder, out, SETTING)
    prepare_pairs(folder, tmp_path / "whole", SETTING)
    assert contents(out) == contents(tmp_path / "whole")


def test_restarting_a_preparation_invalidates_the_earlier_one(tmp_path: Path) -> None:
    folder, out = side_by_side(tmp_path / "in"), tmp_path / "out"
    prepare_pairs(folder, out, SETTING)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_pairs(folder, out, SETTING, progress=stop)
    with pytest.raises(DataError, match=r"no manifest\.json"):
        Prepared.open(out)


def test_memory_stays_below_the_arrays_that_are_written(tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "in", train=150, test=1)
    prepare_pairs(folder, tmp_path / "warm", SETTING)
    tracemalloc.start()
    prepare_pairs(folder, tmp_path / "out", replace(SETTING, load=100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * sum(path.stat().st_size for path in (tmp_path / "out").glob("*.npy"))


def damaged(folder: Path, how: str) -> None:
    array, manifest = folder / "train.input.npy", folder / "manifest.json"
    if how == "array cut short":
        array.write_bytes(array.read_bytes()[:-1])
    elif how == "array missing":
        array.unlink()
    elif how == "array of another type":
        np.save(array, np.zeros((6, 20, 20, 3), np.float32))
    elif how == "array of another shape":
        np.save(array, np.zeros((5, 20, 20, 3), np.uint8))
    elif how == "array no array":
        array.write_text("text")
    elif how == "manifest cut short":
        manifest.write_bytes(manifest.read_bytes()[:-30])
    elif how == "manifest edited":
        manifest.write_text(manifest.read_text().replace('"size": 16', '"size": 17'))
    elif how == "manifest of another version":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 0}))


@pytest.mark.parametrize(
    "how",
    [
        "array cut short",
        "array missing",
        "array of another type",
        "array of another shape",
        "array no array",
        "manifest cut short",
        "manifest edited",
        "manifest of another version",
    ],
)
def test_a_damaged_cache_is_an_error_that_says_to_prepare_again(tmp_path: Path, how: str) -> None:
    prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", SETTING)
    damaged(tmp_path / "out", how)
    with pytest.raises(DataError, match="prepare the data again"):
        Prepared.open(tmp_path / "out")


def test_a_changed_pixel_is_found_on_request(tmp_path: Path) -> None:
    prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", SETTING)
    array = tmp_path / "out" / "val.target.npy"
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    array.write_bytes(data)
    Prepared.open(tmp_path / "out")
    with pytest.raises(DataError, match=r"val\.target\.npy does not match the SHA-256"):
        Prepared.open(tmp_path / "out", verify=True)


def test_an_unknown_split_is_an_error(tmp_path: Path) -> None:
    prepare_pairs(side_by_side(tmp_path / "in"), tmp_path / "out", SETTING)
    with pytest.raises(DataError, match="train, val, test; got 'valid'"):
        Prepared.open(tmp_path / "out").split("valid")


@pytest.mark.skipif(not FACADES.is_dir(), reason="the CMP Facades are not beside the repository")
def test_the_facades_are_prepared_whole(tmp_path: Path) -> None:
    manifest = prepare_pairs(FACADES, tmp_path, Setting(size=32, load=36, direction="BtoA", validation=50, seed=0))
    assert {name: record.count for name, record in manifest.splits.items()} == {"train": 350, "val": 50, "test": 100}
    assert manifest.rejected == {}
    # The background of the label maps is pure blue: by far their strongest channel.
    assert manifest.mean["input"][2] > max(manifest.mean["input"][:2]) + 0.5
