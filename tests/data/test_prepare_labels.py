import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.batches import Batches, whole
from slimgen.data.conversion import Setting
from slimgen.data.label_maps import Classes, find_labels
from slimgen.data.prepare_translation import prepare_labels
from slimgen.data.prepared import Prepared
from slimgen.errors import DataError
from townhouses import CLASSES, scene, write

SETTING = Setting(size=16, load=16, validation=2, fit="squash")
LABELS = {"classes": Classes(4), "instances": False}


def put(folder: Path, counts: dict[str, int], instances: bool = True, highest: int = 3) -> Path:
    """Label maps of 16 x 24 px, whose photographs have the grey level 60 times the class."""
    rng = np.random.default_rng(5)
    for split, count in counts.items():
        for place in range(count):
            ids = rng.integers(0, highest + 1, (16, 24)).astype(np.uint8)
            number = np.zeros((16, 24), np.uint16)
            number[:, 12:] = 26_001
            files = {"label": ids, "img": np.repeat(60 * ids[:, :, None], 3, 2), "inst": number}
            for kind in files if instances else ("label", "img"):
                (folder / f"{split}_{kind}").mkdir(parents=True, exist_ok=True)
                Image.fromarray(files[kind]).save(folder / f"{split}_{kind}" / f"{split}{place:02d}.png")
    return folder


def test_townhouses_are_their_own_ids_and_photographs(tmp_path: Path) -> None:
    write(tmp_path / "in", seed=3, train=6, test=2, size=32, layout="labels")
    prepare_labels(
        tmp_path / "in",
        tmp_path / "out",
        replace(SETTING, size=32, load=32),
        classes=Classes(len(CLASSES)),
        instances=False,
    )
    prepared = Prepared.open(tmp_path / "out", verify=True)
    everything = [stem for split in ("train", "val", "test") for stem in prepared.split(split).names]
    assert sorted(map(int, everything)) == list(range(8))
    for split in ("train", "val", "test"):
        for row, stem in enumerate(prepared.split(split).names):
            drawn = scene(3, int(stem), 32)
            assert np.array_equal(prepared.split(split).input[row, :, :, 0], drawn.labels)
            assert np.array_equal(prepared.split(split).target[row], drawn.day)


def test_a_label_map_stays_with_its_photograph_through_resizing_crops_and_flips(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"train": 6, "test": 2})
    prepare_labels(folder, tmp_path / "out", SETTING, classes=Classes(4), instances=True)
    split = Prepared.open(tmp_path / "out").split("train")
    assert split.input.shape == (4, 16, 16, 2)
    edge = np.where((np.arange(16) == 7) | (np.arange(16) == 8), 255, 0)
    assert np.array_equal(split.input[..., 1], np.broadcast_to(edge, (4, 16, 16)))
    # Over all crops and flips, wherever classes are uniform the photograph has their level.
    pair = Batches(split, batch=4, seed=0, crop=12)(3)
    assert pair.input.shape == (4, 2, 12, 12)
    ids = ((pair.input[:, 0] + 1) * 127.5).round()
    level = (pair.target.mean(1) + 1) * 127.5
    brightness = [float(level[ids == value].mean()) for value in range(4)]
    assert brightness == sorted(brightness)
    assert brightness[3] - brightness[0] > 60


def test_evaluation_sees_ids_whole_and_in_order(tmp_path: Path) -> None:
    prepare_labels(put(tmp_path / "in", {"train": 6, "test": 2}), tmp_path / "out", SETTING, **LABELS)
    split = Prepared.open(tmp_path / "out").split("test")
    seen = ((whole(split).input + 1) * 127.5).round().numpy().astype(np.uint8)
    assert np.array_equal(seen[:, 0], split.input[..., 0])


def test_the_same_labels_give_the_same_bytes_and_only_pictures_have_a_mean(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"train": 6, "test": 2})
    first = prepare_labels(folder, tmp_path / "a", SETTING, **LABELS)
    assert prepare_labels(folder, tmp_path / "b", SETTING, **LABELS).digest == first.digest
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert set(first.mean) == set(first.std) == {"target"}
    with_edges = prepare_labels(folder, tmp_path / "c", SETTING, classes=Classes(4), instances=True)
    assert with_edges.digest != first.digest


def test_an_array_of_other_channels_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    prepare_labels(put(tmp_path / "in", {"train": 6, "test": 2}), tmp_path / "out", SETTING, **LABELS)
    np.save(tmp_path / "out" / "test.input.npy", np.zeros((2, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"\(2, 16, 16, 1\)"):
        Prepared.open(tmp_path / "out")


def test_a_map_with_an_id_above_the_classes_is_rejected_with_a_reason(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"train": 6, "test": 2})
    Image.fromarray(np.full((16, 24), 9, np.uint8)).save(folder / "train_label" / "train00.png")
    manifest = prepare_labels(folder, tmp_path / "out", SETTING, **LABELS)
    assert manifest.rejected == {"train_label/train00.png": "has the id 9, but classes are 0 to 3"}
    with pytest.raises(DataError, match=r"_label/.*has the id 3.*data\.classes"):
        prepare_labels(folder, tmp_path / "out", SETTING, classes=Classes(2), instances=False)


def test_maps_and_photographs_of_other_shapes_are_left_out(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"train": 8, "test": 2})
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(folder / "train_img" / "train00.png")
    Image.fromarray(np.zeros((8, 24), np.uint16)).save(folder / "train_inst" / "train01.png")
    rejected = prepare_labels(folder, tmp_path / "out", SETTING, classes=Classes(4), instances=True).rejected
    assert set(rejected) == {"train_img/train00.png", "train_inst/train01.png"}
    with pytest.raises(DataError, match="set size to at most 16"):
        prepare_labels(folder, tmp_path / "out", replace(SETTING, size=20, load=20), **LABELS)


def test_files_without_a_partner_are_listed(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"train": 6, "test": 2})
    (folder / "train_inst" / "train03.png").unlink()
    assert find_labels(folder, instances=False).unmatched == ()
    with_instances = find_labels(folder, instances=True)
    assert {path.relative_to(folder).as_posix() for path in with_instances.unmatched} == {
        "train_label/train03.png",
        "train_img/train03.png",
    }
    assert len(with_instances.splits["train"]) == 5


def test_folders_of_cityscapes_are_matched_by_the_names_before_the_suffixes(tmp_path: Path) -> None:
    for split, city, count in (("train", "aachen", 3), ("val", "lindau", 1), ("test", "berlin", 1)):
        photographs, maps = (tmp_path / kind / split / city for kind in ("leftImg8bit", "gtFine"))
        photographs.mkdir(parents=True)
        maps.mkdir(parents=True)
        for number in range(count):
            name = f"{city}_{number:06d}_000019"
            Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(photographs / f"{name}_leftImg8bit.png")
            for ending in ("labelIds", "instanceIds", "color"):
                Image.fromarray(np.zeros((16, 32), np.uint8)).save(maps / f"{name}_gtFine_{ending}.png")
            (maps / f"{name}_gtFine_polygons.json").write_text(json.dumps({}))
    found = find_labels(tmp_path, instances=True)
    assert found.layout == "Cityscapes"
    assert {split: len(files) for split, files in found.splits.items()} == {"train": 3, "val": 1}
    assert found.unmatched == ()
    one = found.splits["val"][0]
    assert one.name == "lindau/lindau_000000_000019"
    assert one.labels.name == "lindau_000000_000019_gtFine_labelIds.png"
    assert one.instances.name == "lindau_000000_000019_gtFine_instanceIds.png"


@pytest.mark.parametrize(
    ("counts", "rule"),
    [({}, "an empty folder"), ({"train": 2}, "known layout"), ({"train": 2, "test": 1}, "must have label maps")],
)
def test_a_folder_without_label_maps_is_refused(tmp_path: Path, counts: dict[str, int], rule: str) -> None:
    put(tmp_path, counts, instances=False)
    with pytest.raises(DataError, match=rule):
        find_labels(tmp_path, instances=True)
