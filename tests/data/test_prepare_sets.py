import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_unpaired
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError
from townhouses import scene, write

FLOWERS = Path(__file__).parents[2] / ".." / "shared" / "data" / "flowers"
SETTING = Setting(size=16, load=20, direction="AtoB", validation=2, seed=0)


def put(folder: Path, names: dict[str, list[str]], shape: tuple[int, int] = (24, 24), low: int = 0) -> Path:
    """Images of noise in folders; those whose folder ends with B are brighter than the others."""
    rng = np.random.default_rng(7)
    for where, files in names.items():
        (folder / where).mkdir(parents=True, exist_ok=True)
        for name in files:
            image = rng.integers(low + 120 * where.endswith("B"), low + 220 - 120 * where.endswith("A"), (*shape, 3))
            Image.fromarray(image.astype(np.uint8)).save(folder / where / name)
    return folder


def numbered(count: int, start: int = 0, suffix: str = "png") -> list[str]:
    return [f"{i:03d}.{suffix}" for i in range(start, start + count)]


def unequal(folder: Path) -> Path:
    """9 and 6 images to train on, 3 and 4 to test on, all of other names."""
    sets = {"trainA": numbered(9), "trainB": numbered(6, 50), "testA": numbered(3, 100), "testB": numbered(4, 150)}
    return put(folder, sets)


def same_names(folder: Path) -> Path:
    """Sets whose images have partners, of another suffix."""
    sets = {f"{split}{side}": numbered(n, at) for split, n, at in (("train", 12, 0), ("test", 4, 20)) for side in "AB"}
    return put(folder, {where: [n.replace("png", "bmp") if "B" in where else n for n in sets[where]] for where in sets})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_sets_of_different_number_become_arrays_of_different_length(tmp_path: Path) -> None:
    manifest = prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", SETTING)
    prepared = Prepared.open(tmp_path / "out", verify=True)
    assert prepared.manifest == manifest
    splits = {name: prepared.split(name) for name in ("train", "val", "test")}
    assert {name: split.input.shape for name, split in splits.items()} == {
        "train": (7, 20, 20, 3),
        "val": (2, 16, 16, 3),
        "test": (3, 16, 16, 3),
    }
    assert {name: split.target.shape[:2] for name, split in splits.items()} == {
        "train": (4, 20),
        "val": (2, 16),
        "test": (4, 16),
    }
    for split in splits.values():
        assert split.input.max() < split.target.min()
        assert (len(split.names), len(split.target_names)) == (len(split.input), len(split.target))
        assert not split.coupled
        assert not split.paired
    assert {*splits["train"].names, *splits["val"].names} == set(numbered(9))
    assert {*splits["train"].target_names, *splits["val"].target_names} == set(numbered(6, 50))


def test_the_direction_chooses_the_input_set(tmp_path: Path) -> None:
    folder = unequal(tmp_path / "in")
    prepare_unpaired(folder, tmp_path / "out", replace(SETTING, direction="BtoA", load=24, size=24))
    test = Prepared.open(tmp_path / "out").split("test")
    assert (test.names, test.target_names) == (tuple(numbered(4, 150)), tuple(numbered(3, 100)))
    for rows, names, where in ((test.input, test.names, "testB"), (test.target, test.target_names, "testA")):
        for row, name in zip(rows, names, strict=True):
            assert np.array_equal(row, np.asarray(Image.open(folder / where / name)))


def test_mean_and_deviation_are_those_of_each_set(tmp_path: Path) -> None:
    manifest = prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", SETTING)
    train = Prepared.open(tmp_path / "out").split("train")
    for side, array in (("input", train.input), ("target", train.target)):
        values = array.astype(np.float64) / 127.5 - 1
        assert manifest.mean[side] == pytest.approx(values.mean((0, 1, 2)), abs=1e-12)
        assert manifest.std[side] == pytest.approx(values.std((0, 1, 2)), abs=1e-12)


def test_equal_calls_write_equal_bytes_and_other_settings_another_digest(tmp_path: Path) -> None:
    folder = same_names(tmp_path / "in")
    first = prepare_unpaired(folder, tmp_path / "a", SETTING)
    assert prepare_unpaired(folder, tmp_path / "b", SETTING) == first
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for change in ({"seed": 1}, {"direction": "BtoA"}, {"load": 24}, {"validation": 3}):
        assert prepare_unpaired(folder, tmp_path / "c", replace(SETTING, **change)).digest != first.digest
    assert prepare_unpaired(folder, tmp_path / "c", SETTING, partners=False).digest != first.digest


def test_sets_of_the_same_names_are_paired_in_every_split_and_row(tmp_path: Path) -> None:
    folder = same_names(tmp_path / "in")
    prepare_unpaired(folder, tmp_path / "out", replace(SETTING, validation=5))
    prepared = Prepared.open(tmp_path / "out")
    for name in ("train", "val", "test"):
        split = prepared.split(name)
        assert split.paired
        assert not split.coupled
        assert [n.replace("bmp", "png") for n in split.target_names] == list(split.names) == sorted(split.names)
    assert prepared.manifest.splits["val"].count == 5


def test_equal_names_are_no_partners_where_one_pair_differs_in_proportions(tmp_path: Path) -> None:
    folder = put(same_names(tmp_path / "in"), {"trainB": ["003.bmp"]}, shape=(24, 36))
    manifest = prepare_unpaired(folder, tmp_path / "out", replace(SETTING, fit="squash"))
    assert {name: record.paired for name, record in manifest.splits.items()} == dict.fromkeys(
        ("train", "val", "test"), False
    )


def test_equal_names_are_no_partners_if_the_recipe_says_so(tmp_path: Path) -> None:
    prepare_unpaired(same_names(tmp_path / "in"), tmp_path / "out", SETTING, partners=False)
    assert not Prepared.open(tmp_path / "out").split("test").paired


def test_a_split_that_lost_a_partner_is_not_paired_and_the_others_are(tmp_path: Path) -> None:
    folder = same_names(tmp_path / "in")
    (folder / "testB" / "021.bmp").write_text("not a picture")
    manifest = prepare_unpaired(folder, tmp_path / "out", SETTING)
    assert {name: record.paired for name, record in manifest.splits.items()} == {
        "train": True,
        "val": True,
        "test": False,
    }
    assert set(manifest.rejected) == {"testB/021.bmp"}
    test = Prepared.open(tmp_path / "out", verify=True).split("test")
    assert (len(test.input), len(test.target)) == (4, 3)


def test_photographs_with_fewer_rows_than_the_crop_but_enough_pixels_are_kept(tmp_path: Path) -> None:
    folder = put(unequal(tmp_path / "in"), {"trainA": ["wide.png"]}, shape=(12, 22))
    put(folder, {"trainA": ["small.png"]}, shape=(12, 21))
    manifest = prepare_unpaired(folder, tmp_path / "out", replace(SETTING, fit="squash"))
    reason = "is 12 high and 21 wide, which is fewer pixels than the crop of 16 x 16"
    assert manifest.rejected == {"trainA/small.png": reason}
    assert "wide.png" in {*manifest.splits["train"].names, *manifest.splits["val"].names}


def test_sets_that_are_all_too_small_are_an_error_whose_hint_fits(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {name: numbered(3) for name in ("trainA", "trainB", "testA", "testB")}, (5, 20))
    with pytest.raises(DataError, match=r"12 of 12 rejected.*set size to at most 10"):
        prepare_unpaired(folder, tmp_path / "out", replace(SETTING, validation=1, fit="squash"))
    assert contents(tmp_path / "out") == {}
    setting = replace(SETTING, validation=1, size=10, fit="squash")
    assert prepare_unpaired(folder, tmp_path / "out", setting).rejected == {}


def test_side_by_side_pairs_are_the_two_sets_of_their_halves(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"train": numbered(6), "test": numbered(3)}, shape=(20, 40))
    prepare_unpaired(folder, tmp_path / "out", replace(SETTING, size=20, direction="BtoA"))
    test = Prepared.open(tmp_path / "out").split("test")
    assert test.paired
    assert not test.coupled
    for row, name in enumerate(test.names):
        image = np.asarray(Image.open(folder / "test" / name))
        assert np.array_equal(test.input[row], image[:, 20:])
        assert np.array_equal(test.target[row], image[:, :20])


def test_a_data_set_with_its_own_val_and_test_keeps_both(tmp_path: Path) -> None:
    folder = put(unequal(tmp_path / "in"), {"valA": numbered(1, 200), "valB": numbered(5, 250)})
    prepare_unpaired(folder, tmp_path / "out", SETTING)
    splits = {name: Prepared.open(tmp_path / "out").split(name) for name in ("train", "val", "test")}
    counts = {name: (len(split.input), len(split.target)) for name, split in splits.items()}
    assert counts == {"train": (9, 6), "val": (1, 5), "test": (3, 4)}


def test_a_data_set_with_val_alone_is_tested_on_it(tmp_path: Path) -> None:
    folder = unequal(tmp_path / "in")
    for side in "AB":
        (folder / f"test{side}").rename(folder / f"val{side}")
    prepare_unpaired(folder, tmp_path / "out", SETTING)
    splits = {name: Prepared.open(tmp_path / "out").split(name) for name in ("val", "test")}
    assert {name: (len(split.input), len(split.target)) for name, split in splits.items()} == {
        "val": (2, 2),
        "test": (3, 4),
    }


def test_a_fraction_holds_out_its_share_of_each_set(tmp_path: Path) -> None:
    prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", replace(SETTING, validation=1 / 3))
    val = Prepared.open(tmp_path / "out").split("val")
    assert (len(val.input), len(val.target)) == (3, 2)


@pytest.mark.parametrize("validation", [0, -1, 0.0, 1.0, math.nan])
def test_a_validation_split_of_nothing_or_everything_is_refused(tmp_path: Path, validation: float) -> None:
    with pytest.raises(DataError, match="validation must be fewer than the 9 training input images"):
        prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", replace(SETTING, validation=validation))


def test_a_validation_split_that_empties_the_smaller_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="validation must be fewer than the 6 training target images"):
        prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", replace(SETTING, validation=6))


def test_a_side_without_a_single_usable_image_is_an_error(tmp_path: Path) -> None:
    folder = unequal(tmp_path / "in")
    for path in (folder / "testA").iterdir():
        path.write_text("text")
    with pytest.raises(DataError, match="'test' must keep at least one image of each side"):
        prepare_unpaired(folder, tmp_path / "out", SETTING)


def test_a_load_below_the_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="size 16 x 16, load 15 x 15"):
        prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", replace(SETTING, load=15))


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = unequal(tmp_path / "in")
    prepare_unpaired(folder, tmp_path / "out", SETTING, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 22) for i in range(22)]


def test_a_changed_target_is_found_on_request(tmp_path: Path) -> None:
    prepare_unpaired(unequal(tmp_path / "in"), tmp_path / "out", SETTING)
    array = tmp_path / "out" / "train.target.npy"
    array.write_bytes(array.read_bytes()[:-1] + bytes([array.read_bytes()[-1] ^ 1]))
    with pytest.raises(DataError, match=r"train\.target\.npy does not match the SHA-256"):
        Prepared.open(tmp_path / "out", verify=True)


def test_townhouses_train_on_other_streets_by_night_and_test_on_true_pairs(tmp_path: Path) -> None:
    write(tmp_path / "in", seed=1, train=4, test=2, size=32, layout="unpaired", night=6)
    setting = Setting(size=32, load=32, validation=1)
    prepare_unpaired(tmp_path / "in", tmp_path / "out", setting)
    prepared = Prepared.open(tmp_path / "out")
    train, val, test = (prepared.split(name) for name in ("train", "val", "test"))
    assert [len(side) for side in (train.input, train.target, val.input, val.target)] == [3, 5, 1, 1]
    assert (train.paired, val.paired, test.paired) == (False, False, True)
    for row, index in enumerate((10, 11)):
        truth = scene(1, index, 32)
        assert np.array_equal(test.input[row], truth.day)
        assert np.array_equal(test.target[row], truth.night)


@pytest.mark.skipif(not FLOWERS.is_dir(), reason="the flowers are not beside the repository")
def test_all_flowers_with_enough_pixels_are_kept_and_their_numbers_make_no_partners(tmp_path: Path) -> None:
    manifest = prepare_unpaired(FLOWERS, tmp_path, Setting(256, 256, validation=20, fit="squash"))
    few = set()
    for path in FLOWERS.rglob("*.jpg"):
        with Image.open(path) as image:
            if image.width * image.height < 256 * 256:
                few.add(path.relative_to(FLOWERS).as_posix())
    assert set(manifest.rejected) == few
    rows = [len(record.rows(side)) for record in manifest.splits.values() for side in ("input", "target")]
    assert sum(rows) + len(few) == len(manifest.sources) == 260
    # They are numbered from 0 on both sides, which says nothing: photographs of other flowers.
    assert len({*manifest.splits["test"].names} & {*manifest.splits["test"].rows("target")}) > 20
    assert not any(record.paired for record in manifest.splits.values())
