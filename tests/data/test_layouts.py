from pathlib import Path

import pytest

from slimgen.data.layouts import find_pairs, find_sets
from slimgen.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_side_by_side_pairs_are_two_halves_of_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "train/2.jpg", "train/1.PNG", "test/3.jpeg", "train/readme.txt", "train/.hidden.png")
    pairs = find_pairs(tmp_path, "BtoA")
    assert [pair.name for pair in pairs.splits["train"]] == ["1.PNG", "2.jpg"]
    first = pairs.splits["train"][0]
    assert (first.input.half, first.target.half) == ("right", "left")
    assert first.input.path == first.target.path == tmp_path / "train" / "1.PNG"
    assert find_pairs(tmp_path, "AtoB").splits["test"][0].input.half == "left"


@pytest.mark.parametrize("name", ["{split}{side}", "{side}/{split}"])
def test_partners_in_two_folders_are_matched_by_name(tmp_path: Path, name: str) -> None:
    for split, stems in (("train", "abc"), ("test", "d"), ("val", "e")):
        for side in "AB":
            where = name.format(split=split, side=side)
            touch(tmp_path, *(f"{where}/sub/{stem}.{'png' if side == 'A' else 'jpg'}" for stem in stems))
    pairs = find_pairs(tmp_path, "AtoB")
    assert set(pairs.splits) == {"train", "val", "test"}
    assert [pair.name for pair in pairs.splits["train"]] == ["sub/a", "sub/b", "sub/c"]
    assert pairs.splits["train"][0].input.path.suffix == ".png"
    assert find_pairs(tmp_path, "BtoA").splits["train"][0].input.path.suffix == ".jpg"
    assert pairs.unmatched == ()


def test_images_without_a_partner_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/1.png", "trainA/2.png", "trainB/2.png", "trainB/3.png", "testA/4.png", "testB/4.png")
    pairs = find_pairs(tmp_path, "AtoB")
    assert [pair.name for pair in pairs.splits["train"]] == ["2"]
    assert pairs.unmatched == (tmp_path / "trainA/1.png", tmp_path / "trainB/3.png")


def test_two_folders_without_any_pair_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/1.png", "trainB/2.png", "testA/4.png", "testB/4.png")
    with pytest.raises(DataError, match="2 images without a partner"):
        find_pairs(tmp_path, "AtoB")


def test_a_name_that_occurs_twice_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/1.png", "trainA/1.jpg", "trainB/1.png", "testA/4.png", "testB/4.png")
    with pytest.raises(DataError, match="unique"):
        find_pairs(tmp_path, "AtoB")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder; check --data"):
        find_pairs(tmp_path / "gone", "AtoB")


def test_an_empty_folder_is_an_error_that_lists_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"an empty folder; known: train/ test/ .*trainA/.*A/train"):
        find_pairs(tmp_path, "AtoB")


def test_an_unknown_layout_is_an_error_that_lists_the_folders(tmp_path: Path) -> None:
    touch(tmp_path, "images/1.png", "labels/1.png", "readme.md")
    with pytest.raises(DataError, match=r"got images/ labels/ readme\.md"):
        find_pairs(tmp_path, "AtoB")


def test_a_train_folder_without_images_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "train/readme.txt", "test/1.png")
    with pytest.raises(DataError, match=r"'train' .* no image files"):
        find_pairs(tmp_path, "AtoB")


def test_test_images_are_required(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="add test or val"):
        find_pairs(touch(tmp_path, "train/1.png"), "AtoB")


def test_a_misspelt_direction_is_corrected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"did you mean 'AtoB'\?"):
        find_pairs(tmp_path, "A2B")


@pytest.mark.parametrize("name", ["{split}{side}", "{side}/{split}"])
def test_two_sets_need_no_partners(tmp_path: Path, name: str) -> None:
    for split, side, stems in (("train", "A", "cab"), ("train", "B", "x"), ("test", "A", "d"), ("test", "B", "ef")):
        touch(tmp_path, *(f"{name.format(split=split, side=side)}/sub/{stem}.jpg" for stem in stems))
    sets = find_sets(tmp_path, "AtoB")
    assert [(one.which, one.stem, one.at.half) for one in sets.splits["train"]] == [
        ("input", "sub/a", "whole"),
        ("input", "sub/b", "whole"),
        ("input", "sub/c", "whole"),
        ("target", "sub/x", "whole"),
    ]
    assert sets.splits["train"][3].at.path == tmp_path / name.format(split="train", side="B") / "sub" / "x.jpg"
    back = find_sets(tmp_path, "BtoA").splits["test"]
    assert [(one.which, one.name) for one in back] == [
        ("input", "sub/e.jpg"),
        ("input", "sub/f.jpg"),
        ("target", "sub/d.jpg"),
    ]


def test_two_images_of_a_set_may_differ_only_in_the_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/1.png", "trainA/1.jpg", "trainB/2.png", "testA/4.png", "testB/4.png")
    assert [one.name for one in find_sets(tmp_path, "AtoB").splits["train"]] == ["1.jpg", "1.png", "2.png"]


def test_the_order_is_that_of_the_names_whatever_their_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/a.png", "trainA/a-1.bmp", "trainB/a.bmp", "trainB/a-1.png", "testA/1.png", "testB/1.png")
    train = find_sets(tmp_path, "AtoB").splits["train"]
    assert [one.stem for one in train] == ["a", "a-1", "a", "a-1"]


def test_halves_of_pairs_are_two_sets(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/2.jpg")
    found = {direction: find_sets(tmp_path, direction).splits["train"] for direction in ("AtoB", "BtoA")}
    assert [(one.which, one.at.half) for one in found["AtoB"]] == [("input", "left"), ("target", "right")]
    assert [(one.which, one.at.half) for one in found["BtoA"]] == [("input", "right"), ("target", "left")]


def test_a_set_without_images_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/1.png", "trainB/readme.md", "testA/4.png", "testB/4.png")
    with pytest.raises(DataError, match=r"trainB must contain images; got no image files"):
        find_sets(tmp_path, "AtoB")


def test_an_unknown_layout_of_sets_is_an_error_that_lists_those_of_sets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"known: trainA/ trainB/ testA/ testB/; A/train"):
        find_sets(touch(tmp_path, "images/1.png"), "AtoB")
