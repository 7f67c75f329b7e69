"""Partners whose names are written differently, links to folders, and files that are passed over and counted."""

import os
import unicodedata
from pathlib import Path

import pytest

from slimgen.data.label_maps import find_labels
from slimgen.data.layouts import find_pairs, find_sets
from slimgen.data.names import how_names_differ
from slimgen.data.prepare_images import find_images
from slimgen.data.walking import counted, image_files
from slimgen.errors import DataError
from slimgen.files import OWN


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_folders_a_and_b_inside_each_split_are_a_layout_and_no_side_by_side_pairs(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{side}/{stem}.png" for split in ("train", "test") for side in "AB" for stem in "xy"))
    pairs, sets = find_pairs(tmp_path, "BtoA"), find_sets(tmp_path, "AtoB")
    assert pairs.layout == sets.layout == "A and B in each split"
    assert [(one.input.path, one.input.half) for one in pairs.splits["test"]] == [
        (tmp_path / f"test/B/{stem}.png", "whole") for stem in "xy"
    ]
    assert next((one.which, one.at.path) for one in sets.splits["train"]) == ("input", tmp_path / "train/A/x.png")


def test_names_match_in_either_form_of_unicode_and_are_kept_as_they_are(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    for split in ("train", "test"):
        touch(tmp_path / "pairs", f"{split}A/{composed}.png", f"{split}B/{apart}.png")
        touch(tmp_path / "maps", f"{split}_label/{apart}.png", f"{split}_img/{composed}.jpg")
    pairs = find_pairs(tmp_path / "pairs", "AtoB")
    assert ([one.name for one in pairs.splits["train"]], pairs.unmatched) == ([composed], ())
    assert [one.name for one in find_labels(tmp_path / "maps", instances=False).splits["test"]] == [apart]
    touch(tmp_path / "pairs", f"trainA/{apart}.png")
    with pytest.raises(DataError, match="names must be unique in a folder"):
        find_pairs(tmp_path / "pairs", "AtoB")


@pytest.mark.parametrize(
    ("these", "those", "hint"),
    [
        ({"IMG_1", "IMG_2"}, {"img_1", "img_2"}, "2 differ only in upper and lower case"),
        ({"1_A", "2_A"}, {"1_B", "2_B"}, "2 would be equal without the ending ('_A' and '_B')"),
        ({"in1", "in2"}, {"out1", "out2"}, "2 would be equal without the beginning ('in' and 'out')"),
        ({"a/1_x", "a/2_x"}, {"b/1_y", "b/2_y"}, "the beginning ('a/' and 'b/') and the ending ('_x' and '_y')"),
        ({"1"}, {"2"}, "equal names, except for the suffix such as .png"),
    ],
)
def test_a_hint_says_how_names_differ(these: set[str], those: set[str], hint: str) -> None:
    assert hint in str(how_names_differ(these, those))


def test_pairs_and_label_maps_get_the_hint_about_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        touch(tmp_path / "pairs", *(f"{split}{side}/{n}{side}.png" for side in "AB" for n in "12"))
        touch(tmp_path / "maps", *(f"{split}_{kind}/{n}_{kind}.png" for kind in ("label", "img") for n in "12"))
    with pytest.raises(DataError, match=r"without the ending \('A' and 'B'\)"):
        find_pairs(tmp_path / "pairs", "AtoB")
    with pytest.raises(DataError, match=r"without the ending \('_label' and '_img'\)"):
        find_labels(tmp_path / "maps", instances=False)
    touch(tmp_path / "pairs", *(f"{split}{side}/same.png" for side in "AB" for split in ("train", "test")))
    assert "without the ending ('A' and 'B')" in str(find_pairs(tmp_path / "pairs", "AtoB").hint)


def test_links_to_folders_are_followed_once_and_never_in_a_circle(tmp_path: Path) -> None:
    folder = touch(tmp_path / "set", "train/zebra/1.png")
    touch(tmp_path / "elsewhere", "dog/2.png", "dog/deep/3.png")
    os.symlink(tmp_path / "elsewhere" / "dog", folder / "train" / "dog")
    os.symlink(tmp_path / "elsewhere" / "dog", folder / "train" / "dog again")
    os.symlink(folder / "train" / "zebra", folder / "train" / "ass")  # before the folder itself, by its name
    os.symlink(folder, folder / "train" / "up")
    os.symlink(tmp_path, tmp_path / "elsewhere" / "dog" / "around")
    names = [path.relative_to(folder / "train").as_posix() for path in image_files(folder / "train")]
    assert names == ["dog/2.png", "dog/deep/3.png", "zebra/1.png"]
    found = find_images(folder)
    assert len(found.splits["train"]) == 3
    assert found.passed == {"link to a folder already seen or above the set": 4}


def test_a_folder_of_a_layout_may_itself_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "1.png")
    touch(tmp_path / "set", "trainA/1.png", "testA/1.png")
    for split in ("train", "test"):
        os.symlink(tmp_path / "elsewhere", tmp_path / "set" / f"{split}B")
    pairs = find_pairs(tmp_path / "set", "AtoB")
    assert ([one.name for one in pairs.splits["train"]], dict(pairs.passed)) == (["1"], {})


@pytest.mark.parametrize("ending", ["jpg", "jfif", "JPE", "webp", "avif", "TIFF", "bmp", "pbm"])
def test_endings_that_are_read(tmp_path: Path, ending: str) -> None:
    assert len(image_files(touch(tmp_path, f"a.{ending}"))) == 1


def test_every_file_that_is_passed_over_is_counted_by_the_reason(tmp_path: Path) -> None:
    folder = touch(tmp_path, "train/1.png", "test/1.png", "train/a.gif", "train/b.GIF", "readme", "train/.x.png")
    touch(folder, ".git/config", "val.png", "other/2.jpg", "train/notes.txt", "test/also.txt")
    os.symlink(folder / "gone.png", folder / "train" / "dead.png")
    passed = find_pairs(folder, "AtoB").passed
    assert passed == {
        "file ending with .gif": 2,
        "file ending with .txt": 2,
        "hidden file or folder": 2,
        "image outside the folders of the layout": 2,
        "file without an ending": 1,
        "name of a missing file or a device": 1,
    }
    assert counted(passed).startswith("2 files ending with .gif, 2 files ending with .txt, 2 hidden files or folders, ")
    assert find_pairs(touch(tmp_path / "clean", "train/1.png", "test/1.png", OWN), "AtoB").passed == {}
