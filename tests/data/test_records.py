"""Images in raw bytes, as CIFAR-10 and STL-10 are handed out, become files that a run can be given."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from slimgen.data.conversion import Setting
from slimgen.data.get import PUBLIC, PublicSet, Records, get, write_images
from slimgen.data.images import read_image
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError

SIDE = 8
ROWS = Records(SIDE, {"train": ("a.bin", "b.bin"), "test": ("t.bin",)}, label=1)
COLUMNS = Records(SIDE, {"train": ("a.bin", "b.bin"), "test": ("t.bin",)}, columns=True)
COUNTS = {"a": 3, "b": 2, "t": 2}


def images(name: str) -> np.ndarray:
    """Images (count, SIDE, SIDE, 3) of a file."""
    return np.random.default_rng(ord(name)).integers(0, 256, (COUNTS[name], SIDE, SIDE, 3), np.uint8)


def laid_out(folder: Path, records: Records) -> Path:
    folder.mkdir(parents=True)
    for name in COUNTS:
        planes = images(name).transpose((0, 3, 2, 1) if records.columns else (0, 3, 1, 2))
        content = [bytes([7] * records.label) + plane.tobytes() for plane in planes]
        (folder / f"{name}.bin").write_bytes(b"".join(content))
    return folder


@pytest.mark.parametrize("records", [ROWS, COLUMNS], ids=["rows after a label", "columns"])
@pytest.mark.parametrize("together", [2, 1000])
def test_every_image_becomes_a_file_with_its_very_pixels(tmp_path, monkeypatch, records, together):
    monkeypatch.setattr("slimgen.data.get.TOGETHER", together)
    folder, told = laid_out(tmp_path / "set", records), []
    assert write_images(folder, records, lambda done, every: told.append((done, every))) == 7
    assert told == ([(2, 7), (3, 7), (5, 7), (7, 7)] if together == 2 else [(3, 7), (5, 7), (7, 7)])
    assert not list(folder.glob("*.bin"))
    for name, split in (("a", "train"), ("b", "train"), ("t", "test")):
        for number, image in enumerate(images(name)):
            assert np.array_equal(read_image(folder / split / f"{name}-{number:05d}.png"), image)
    assert len(list(folder.rglob("*.png"))) == 7


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "whole images of 193 bytes each; got 385 bytes"),
        (lambda path: path.write_bytes(b""), "got 0 bytes"),
        (lambda path: path.unlink(), "got no such file"),
    ],
)
def test_a_file_that_ends_inside_an_image_is_an_error(tmp_path, damage, message):
    folder = laid_out(tmp_path / "set", ROWS)
    damage(folder / "b.bin")
    with pytest.raises(DataError, match=message):
        write_images(folder, ROWS)


def test_images_are_never_written_among_others(tmp_path):
    folder = laid_out(tmp_path / "set", ROWS)
    (folder / "test").mkdir()
    with pytest.raises(DataError, match="must not contain a folder test"):
        write_images(folder, ROWS)


@pytest.fixture
def public(tmp_path, monkeypatch) -> tuple[dict[str, PublicSet], list[str]]:
    """A set of records, and every address that is asked for it."""
    laid_out(tmp_path / "made" / "set-bin", ROWS)
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as file:
        file.add(tmp_path / "made" / "set-bin", "set-bin")
    content, asked = (tmp_path / "archive.tar.gz").read_bytes(), []
    digest = hashlib.sha256(content).hexdigest()

    def fetched(url, path, *, progress=None):
        asked.append(url)
        path.write_bytes(content)
        return digest

    monkeypatch.setattr("slimgen.data.get.download", fetched)
    return {"set": PublicSet("https://example.org/set.tar.gz", "Free for all.", digest, ROWS)}, asked


def test_a_complete_archive_is_not_downloaded_again(tmp_path, monkeypatch, public):
    sets, asked = public
    with monkeypatch.context() as patch:
        patch.setattr("slimgen.data.get.write_images", stopped(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            get("set", tmp_path / "got", sets=sets)
    get("set", tmp_path / "got", sets=sets)
    assert len(asked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.tar.gz", "got", "made"]


def test_a_full_disk_is_one_line_and_leaves_no_hidden_folder(tmp_path, monkeypatch, public):
    sets, _ = public
    monkeypatch.setattr("slimgen.data.get.write_images", stopped(OSError(28, "No space left on device")))
    with pytest.raises(DataError, match=r"cannot unpack .*No space left on device; free some space"):
        get("set", tmp_path / "got", sets=sets)
    assert not (tmp_path / "got").exists()
    assert not (tmp_path / ".got.staged").exists()


def stopped(error):
    def raising(*_):
        raise error

    return raising


def test_a_set_of_records_becomes_images_that_can_be_prepared(tmp_path, public):
    sets, _ = public
    get("set", tmp_path / "got", sets=sets)
    options = {"size": SIDE, "load": SIDE, "direction": "AtoB", "validation": 1, "seed": 0}
    prepare_images(tmp_path / "got", tmp_path / "prepared", Setting(**options))
    data = Prepared.open(tmp_path / "prepared")
    assert {split: len(data.split(split)) for split in ("train", "val", "test")} == {"train": 4, "val": 1, "test": 2}
    assert np.array_equal(data.split("test").target, images("t"))


def test_the_public_sets_of_records_are_as_large_as_their_authors_say():
    cifar, stl = PUBLIC["cifar10"].records, PUBLIC["stl10"].records
    # Of the published sizes of their files: 10,000 images of CIFAR-10, and STL-10's 5,000, 8,000 and 100,000.
    assert 10_000 * cifar.length == 30_730_000
    assert len(cifar.files["train"]) == 5
    assert tuple(n * stl.length for n in (5_000, 8_000, 100_000)) == (138_240_000, 221_184_000, 2_764_800_000)
