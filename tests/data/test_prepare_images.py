"""Images that are to be made of noise: found in folders and archives, divided, decoded once."""

import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from slimgen.data.batches import Batches, whole
from slimgen.data.conversion import Setting
from slimgen.data.prepare_images import find_images, prepare_images
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError

CIFAR = Path(__file__).parents[2] / ".." / "shared" / "data" / "cifar10" / "cifar10_jpeg.tar.xz"
SETTING = Setting(size=8, load=8, direction="AtoB", validation=4, seed=0)


def put(folder: Path, names: list[str], shape: tuple[int, int] = (8, 8)) -> Path:
    """Each image is of one colour, drawn from its name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*shape, 3), colour(name), np.uint8)).save(folder / name)
    return folder


def colour(name: str) -> np.ndarray:
    return np.random.default_rng(list(name.encode())).integers(0, 256, 3).astype(np.uint8)


def numbered(where: str, count: int) -> list[str]:
    return [f"{where}{i:03d}.png" for i in range(count)]


def by_class(folder: Path) -> Path:
    """As CIFAR-10's archive: images of two classes, whose names repeat."""
    return put(
        folder, [name for at, n in (("train", 7), ("test", 3)) for c in "ab" for name in numbered(f"{at}/{c}/", n)]
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_images_of_classes_become_targets_of_an_input_without_channels(tmp_path: Path) -> None:
    manifest = prepare_images(by_class(tmp_path / "in"), tmp_path / "out", SETTING)
    prepared = Prepared.open(tmp_path / "out", verify=True)
    assert prepared.manifest == manifest
    assert manifest.layout == "train and test"
    splits = {name: prepared.split(name) for name in ("train", "val", "test")}
    assert {name: (split.input.shape, split.target.shape) for name, split in splits.items()} == {
        "train": ((10, 8, 8, 0), (10, 8, 8, 3)),
        "val": ((4, 8, 8, 0), (4, 8, 8, 3)),
        "test": ((6, 8, 8, 0), (6, 8, 8, 3)),
    }
    assert set(manifest.mean) == set(manifest.std) == {"target"}
    for name, split in splits.items():
        assert split.inputless
        assert len(split) == len(split.target)
        for row, image in zip(split.target, split.names, strict=True):
            assert (row == colour(f"{'test' if name == 'test' else 'train'}/{image}")).all()
    assert {*splits["train"].names, *splits["val"].names} == {name for c in "ab" for name in numbered(f"{c}/", 7)}


def test_one_folder_is_divided_and_a_tenth_is_tested_on(tmp_path: Path) -> None:
    put(tmp_path / "in", numbered("", 40))
    manifest = prepare_images(tmp_path / "in", tmp_path / "a", SETTING)
    names = {name: set(split.names) for name, split in manifest.splits.items()}
    assert {name: len(rows) for name, rows in names.items()} == {"train": 32, "val": 4, "test": 4}
    assert set.union(*names.values()) == set(numbered("", 40))
    other = prepare_images(tmp_path / "in", tmp_path / "b", replace(SETTING, seed=1))
    assert set(other.splits["test"].names) != names["test"]
    assert contents(tmp_path / "a") != contents(tmp_path / "b")


def test_more_images_leave_most_test_images_in_the_test_set(tmp_path: Path) -> None:
    put(tmp_path / "in", numbered("", 40))
    before = set(prepare_images(tmp_path / "in", tmp_path / "a", SETTING).splits["test"].names)
    put(tmp_path / "in", ["more.png"])
    after = set(prepare_images(tmp_path / "in", tmp_path / "b", SETTING).splits["test"].names)
    assert len(before & after) >= len(before) - 1


def test_a_set_with_train_alone_is_tested_on_a_part_of_it(tmp_path: Path) -> None:
    manifest = prepare_images(put(tmp_path / "in", numbered("train/", 20)), tmp_path / "out", SETTING)
    assert manifest.layout == "train"
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 14, "val": 4, "test": 2}


@pytest.mark.parametrize("kind", ["images.zip", "images.tar.xz"])
def test_an_archive_is_prepared_like_its_folder(tmp_path: Path, kind: str) -> None:
    folder, archive = by_class(tmp_path / "in"), tmp_path / kind
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if kind.endswith("zip"):
        with zipfile.ZipFile(archive, "w") as file:
            for path in files:
                file.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:xz") as file:
            for path in files:
                file.add(path, path.relative_to(folder))
    (tmp_path / "b" / "unpacked" / "train").mkdir(parents=True)  # as a preparation that was killed leaves it
    prepare_images(folder, tmp_path / "a", SETTING)
    prepare_images(archive, tmp_path / "b", SETTING)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_archive_that_would_leave_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../outside.png", b"")
    with pytest.raises(DataError, match="leaves the folder"):
        prepare_images(tmp_path / "evil.zip", tmp_path / "out", SETTING)
    assert not (tmp_path / "outside.png").exists()


def test_the_middle_square_is_taken_and_nothing_is_distorted(tmp_path: Path) -> None:
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, 8:24] = 200
    put(tmp_path / "in", numbered("train/", 6))
    (tmp_path / "in" / "test").mkdir()
    Image.fromarray(picture).save(tmp_path / "in" / "test" / "wide.png")
    prepare_images(tmp_path / "in", tmp_path / "out", SETTING)
    assert (Prepared.open(tmp_path / "out").split("test").target == 200).all()


def test_unusable_images_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    folder = put(put(tmp_path / "in", numbered("", 40)), ["small.png"], (7, 20))
    (folder / "broken.jpg").write_bytes(b"no image")
    manifest = prepare_images(folder, tmp_path / "out", SETTING)
    assert set(manifest.rejected) == {"small.png", "broken.jpg"}
    assert manifest.rejected["small.png"] == "is 7 high and 20 wide, smaller than the crop of 8 x 8"
    assert sum(split.count for split in manifest.splits.values()) == 40


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"load": 12}, "load must be size"),
        ({"validation": 40}, "must be fewer"),
        ({"size": 16, "load": 16}, "at least one"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(tmp_path: Path, change: dict, rule: str) -> None:
    put(tmp_path / "in", numbered("", 20))
    with pytest.raises(DataError, match=rule):
        prepare_images(tmp_path / "in", tmp_path / "out", replace(SETTING, **change))
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("split", ["test", "val"])
def test_splits_without_training_images_are_refused(tmp_path: Path, split: str) -> None:
    put(tmp_path / split, ["one.png", "two.png"])
    with pytest.raises(DataError, match=f"must have training images in train/; got only {split}/"):
        find_images(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="no image files"):
        find_images(tmp_path / "in")
    with pytest.raises(DataError, match="there is no such folder or archive"):
        find_images(tmp_path / "nowhere")


def test_train_and_val_are_joined_for_trainings_that_choose_nothing(tmp_path: Path) -> None:
    prepare_images(by_class(tmp_path / "in"), tmp_path / "out", SETTING)
    prepared = Prepared.open(tmp_path / "out")
    joined = prepared.with_validation()
    train, val, both = prepared.split("train"), prepared.split("val"), joined.split("train")
    assert both.names == (*train.names, *val.names)
    assert np.array_equal(both.target, np.concatenate([train.target, val.target]))
    assert both.input.shape == (14, 8, 8, 0)
    assert np.array_equal(joined.split("val").target, val.target)
    assert np.array_equal(joined.split("test").target, prepared.split("test").target)


def test_batches_have_real_images_and_no_inputs(tmp_path: Path) -> None:
    prepare_images(by_class(tmp_path / "in"), tmp_path / "out", SETTING)
    train = Prepared.open(tmp_path / "out").split("train")
    batch = Batches(train, batch=10, seed=0, crop=8)(0)
    assert batch.input.shape == (10, 0, 8, 8)
    found = {tuple(image[:, 0, 0].tolist()) for image in batch.target}
    assert found == {tuple(image[:, 0, 0].tolist()) for image in whole(train).target}
    assert torch.allclose(
        whole(train, 2).target[1, :, 0, 0], torch.from_numpy(train.target[1, 0, 0] / 127.5 - 1).float()
    )


@pytest.mark.skipif(not CIFAR.is_file(), reason="the archive of CIFAR-10 is not here")
def test_images_of_cifar10_keep_their_pixels_in_every_class(tmp_path: Path) -> None:
    with tarfile.open(CIFAR, "r|*") as archive:
        for entry in archive:
            if entry.isreg() and int(Path(entry.name).stem) < 3:
                archive.extract(entry, tmp_path / "in", filter="data")
    manifest = prepare_images(tmp_path / "in", tmp_path / "out", replace(SETTING, size=32, load=32))
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 26, "val": 4, "test": 30}
    test = Prepared.open(tmp_path / "out").split("test")
    for row, name in zip(test.target, test.names, strict=True):
        assert np.array_equal(row, np.asarray(Image.open(tmp_path / "in" / "test" / name)))
