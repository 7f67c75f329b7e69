"""Data sets for upscaling: their layouts, and what preparation makes of them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.bicubic import imresize
from slimgen.data.decoding import Setting
from slimgen.data.high_resolution import find_scaled
from slimgen.data.prepare_upscaling import prepare_upscaling
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError
from slimgen.size import Size

PATCH = Setting(8, 8, validation=1)


def picture(path: Path, height: int, width: int, *, grey: bool = False) -> np.ndarray:
    """Write a picture that is like no other, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng([*path.name.encode(), height, width]).integers(0, 256, (height, width, 3), np.uint8)
    values = values[..., :1].repeat(3, 2) if grey else values
    Image.fromarray(values[..., 0] if grey else values).save(path)
    return values


def smaller(path: Path, image: np.ndarray, scale: int) -> np.ndarray:
    """Write a picture made smaller in another way than slimgen's, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = image[::scale, ::scale]
    Image.fromarray(small).save(path)
    return small


def names(folder: Path, split: str, scale: int = 4) -> list[tuple[str, str | None, str]]:
    files = find_scaled(folder, scale).splits.get(split, ())
    return [(one.name, one.low and one.low.relative_to(folder).as_posix(), one.group) for one in files]


def test_the_published_folders_are_found_with_their_small_pictures_and_their_validation_split(tmp_path):
    for name in ("0001", "0002"):
        picture(tmp_path / "DIV2K_train_HR" / f"{name}.png", 8, 8)
        picture(tmp_path / "DIV2K_train_LR_bicubic" / "X4" / f"{name}x4.png", 2, 2)
        picture(tmp_path / "DIV2K_train_LR_bicubic" / "X2" / f"{name}x2.png", 4, 4)
    picture(tmp_path / "DIV2K_valid_HR" / "0801.png", 8, 8)
    picture(tmp_path / "Flickr2K" / "Flickr2K_HR" / "000001.png", 8, 8)
    picture(tmp_path / "Flickr2K" / "Flickr2K_LR_bicubic" / "X4" / "000001x4.png", 2, 2)
    assert names(tmp_path, "train") == [
        ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_bicubic/X4/0001x4.png", ""),
        ("DIV2K_train_HR/0002.png", "DIV2K_train_LR_bicubic/X4/0002x4.png", ""),
        ("Flickr2K/Flickr2K_HR/000001.png", "Flickr2K/Flickr2K_LR_bicubic/X4/000001x4.png", ""),
    ]
    assert names(tmp_path, "val") == [("DIV2K_valid_HR/0801.png", None, "")]
    assert [small for _, small, _ in names(tmp_path, "train", scale=3)] == [None] * 3
    assert find_scaled(tmp_path, 3).doubts == ("5 pictures in LR folders are not of scale 3 and are left out",)


def test_folders_of_test_are_sets_of_their_own_each_in_its_own_layout(tmp_path):
    picture(tmp_path / "train" / "t91" / "a.png", 8, 8)
    picture(tmp_path / "train" / "more" / "HR" / "b.png", 8, 8)
    picture(tmp_path / "train" / "more" / "LRx4" / "b.png", 2, 2)
    picture(tmp_path / "test" / "set5" / "HR" / "baby.png", 8, 8)
    picture(tmp_path / "test" / "set5" / "LR_bicubic" / "X4" / "babyx4.png", 2, 2)
    picture(tmp_path / "test" / "urban" / "one.png", 8, 8)
    assert names(tmp_path, "train") == [("more/HR/b.png", "train/more/LRx4/b.png", ""), ("t91/a.png", None, "")]
    assert names(tmp_path, "test") == [
        ("set5/HR/baby.png", "test/set5/LR_bicubic/X4/babyx4.png", "set5"),
        ("urban/one.png", None, "urban"),
    ]
    untrained = find_scaled(tmp_path / "test", 4, trained=False)
    assert [(one.name, one.group) for one in untrained.splits["test"]] == [
        ("set5/HR/baby.png", "set5"),
        ("urban/one.png", "urban"),
    ]


def test_test_sets_may_be_links_to_folders_elsewhere(tmp_path):
    picture(tmp_path / "data" / "train" / "a.png", 8, 8)
    picture(tmp_path / "elsewhere" / "Set5" / "HR" / "a.png", 8, 8)
    picture(tmp_path / "elsewhere" / "Set5" / "LRx4" / "a.png", 2, 2)
    (tmp_path / "data" / "test").mkdir()
    (tmp_path / "data" / "test" / "set5").symlink_to(tmp_path / "elsewhere" / "Set5")
    assert names(tmp_path / "data", "test") == [("set5/HR/a.png", "test/set5/LRx4/a.png", "set5")]


def test_pictures_without_a_partner_and_folders_without_pictures_are_one_line(tmp_path):
    with pytest.raises(DataError, match=r"no data set at .*nowhere: there is no such folder"):
        find_scaled(tmp_path / "nowhere", 4)
    with pytest.raises(DataError, match="must have pictures to train on; got an empty folder; train/ and test/"):
        find_scaled(tmp_path, 4)
    picture(tmp_path / "HR" / "a.png", 8, 8)
    picture(tmp_path / "LRx4" / "b.png", 2, 2)
    with pytest.raises(DataError, match="must have partners; got 2 pictures without a partner"):
        find_scaled(tmp_path, 4)
    picture(tmp_path / "LRx4" / "a.png", 2, 2)
    found = find_scaled(tmp_path, 4)
    assert [one.name for one in found.splits["train"]] == ["HR/a.png"]
    assert [path.name for path in found.unmatched] == ["b.png"]


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A data set of unequal, odd sizes: small pictures given, to be made, and one grey picture."""
    folder = tmp_path / "data"
    for number, (high, wide) in enumerate([(33, 47), (64, 40), (41, 35)]):
        image = picture(folder / "train" / "HR" / f"{number}.png", high, wide)
        smaller(folder / "train" / "LRx4" / f"{number}.png", image[: high // 4 * 4, : wide // 4 * 4], 4)
    picture(folder / "test" / "one" / "a.png", 37, 66)
    picture(folder / "test" / "two" / "b.png", 50, 33, grey=True)
    return folder


def test_every_pixel_is_kept_once_and_pictures_are_cropped_to_a_multiple_of_the_scale(mixed, tmp_path):
    manifest = prepare_upscaling(mixed, tmp_path / "out", PATCH, scale=4)
    data = Prepared.open(tmp_path / "out", verify=True)
    test, train, val = (data.split(name) for name in ("test", "train", "val"))
    assert (test.names, test.shapes, test.scale) == (("one/a.png", "two/b.png"), (Size(9, 16), Size(12, 8)), 4)
    assert dict(test.groups) == {"one": 1, "two": 1}
    for row, name in enumerate(test.names):
        whole = np.asarray(Image.open(mixed / "test" / name).convert("RGB"))
        high, wide = (side // 4 * 4 for side in whole.shape[:2])
        assert (test.picture("target", row) == whole[:high, :wide]).all()
        assert (test.picture("input", row) == imresize(whole[:high, :wide], Fraction(1, 4))).all()
    assert len(train) == 2
    assert train.target.shape == (16 * sum(high * wide for high, wide in train.shapes), 3)
    for row, name in enumerate(train.names):
        given = np.asarray(Image.open(mixed / "train" / "LRx4" / Path(name).name))
        assert (train.picture("input", row) == given).all()
        assert (train.picture("target", row)[::4, ::4] == given).all()
    assert val.input.shape == (1, 8, 8, 3)
    assert val.target.shape == (1, 32, 32, 3)
    assert (val.target[0, ::4, ::4] == val.input[0]).all()  # the same part of both
    assert manifest.layout == "train and test, HR and LRx4 and HR alone"
    assert prepare_upscaling(mixed, None, PATCH, scale=4).digest != manifest.digest  # nothing is written or hashed
    assert prepare_upscaling(mixed, tmp_path / "again", PATCH, scale=4) == manifest


def test_wrong_partners_and_small_pictures_are_rejected_with_the_reason(mixed, tmp_path):
    picture(mixed / "train" / "LRx4" / "0.png", 9, 11)
    picture(mixed / "train" / "HR" / "3.png", 31, 80)
    picture(mixed / "train" / "LRx4" / "3.png", 7, 20)
    manifest = prepare_upscaling(mixed, tmp_path / "out", PATCH, scale=4)
    assert manifest.rejected == {
        "train/LRx4/0.png": "is 9 high and 11 wide, but its partner made 4 times smaller is 8 high and 11 wide",
        "train/HR/3.png": "is 31 high and 80 wide, smaller than a training patch: 4 times 8 x 8",
    }
    with pytest.raises(
        DataError, match=r"must keep at least one image; got .*smaller than a training patch: 4 times 16"
    ):
        prepare_upscaling(mixed, tmp_path / "out", Setting(16, 16, validation=1), scale=4)


def test_without_test_images_a_tenth_is_held_out_and_without_training_all_are_tested(tmp_path):
    for number in range(20):
        picture(tmp_path / "data" / f"{number:02d}.png", 24, 24 + number)
    manifest = prepare_upscaling(tmp_path / "data", tmp_path / "out", PATCH, scale=2)
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 17, "val": 1, "test": 2}
    alone = prepare_upscaling(tmp_path / "data", tmp_path / "out", PATCH, scale=3, trained=False)
    assert {name: (split.count, split.scale) for name, split in alone.splits.items()} == {"test": (20, 3)}
    assert Prepared.open(tmp_path / "out").split("test").shapes[0] == Size(8, 8)
