"""Pictures of another aspect: rejected, or squashed, cropped or padded where somebody asks for it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.batches import Batches
from slimgen.data.conversion import Setting
from slimgen.data.images import Rejected
from slimgen.data.label_maps import Classes
from slimgen.data.look import Look, look_at_images, look_at_labels, look_at_pairs, look_at_sets, looked_of
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepare_translation import prepare_labels, prepare_pairs, prepare_unpaired
from slimgen.data.prepared import Manifest, Prepared
from slimgen.data.shapes import Frame
from slimgen.errors import DataError
from slimgen.size import Size

HERE = Path("picture.png")
KINDS = {
    "pairs": (prepare_pairs, look_at_pairs, ("A", "B")),
    "sets": (prepare_unpaired, look_at_sets, ("A", "B")),
    "labels": (prepare_labels, look_at_labels, ("_label", "_img")),
    "images": (prepare_images, look_at_images, ("",)),
}


def frame(height: int, width: int, fit=None) -> Frame:
    return Frame(Size(height, width), Size(height, width), fit)


def places(height: int, width: int) -> np.ndarray:
    """Each pixel tells its row and its column."""
    return np.stack(np.mgrid[:height, :width], axis=2).astype(np.uint8)


def put(folder: Path, kind: str, shape: tuple[int, int], count: int = 6) -> Path:
    rng = np.random.default_rng(2)
    for split in ("train", "test"):
        for part in KINDS[kind][2]:
            (folder / f"{split}{part}").mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 3, shape) if part == "_label" else rng.integers(0, 255, (*shape, 3))
                Image.fromarray(image.astype(np.uint8)).save(folder / f"{split}{part}" / f"{number}.png")
    return folder


def prepare(kind: str, folder: Path, out: Path, **setting) -> Manifest:
    more = {"classes": Classes(3), "instances": False} if kind == "labels" else {}
    return KINDS[kind][0](folder, out, Setting(validation=2, **setting), **more)


@pytest.mark.parametrize(
    ("shape", "size", "top", "left", "cut"),
    [
        ((12, 10), (4, 5), 2, 0, (8, 10)),
        ((4, 30), (4, 10), 0, 10, (4, 10)),
        ((10, 9), (3, 3), 0, 0, (9, 9)),  # a middle of half a pixel is rounded up or left
        ((8, 8), (8, 8), 0, 0, (8, 8)),
    ],
)
def test_cropping_takes_the_largest_part_in_the_middle(shape, size, top, left, cut) -> None:
    found = frame(*size, "crop").fitted(HERE, places(*shape))
    assert np.array_equal(found, places(*shape)[top : top + cut[0], left : left + cut[1]])


@pytest.mark.parametrize(
    ("shape", "size", "top", "left", "around"),
    [
        ((8, 10), (4, 4), 1, 0, (10, 10)),
        ((12, 6), (4, 6), 0, 6, (12, 18)),
        ((6, 9), (2, 3), 0, 0, (6, 9)),
    ],
)
def test_padding_repeats_the_edges(shape, size, top, left, around) -> None:
    picture = places(*shape)
    below, right = around[0] - shape[0] - top, around[1] - shape[1] - left
    expected = np.pad(picture, ((top, below), (left, right), (0, 0)), mode="edge")
    assert np.array_equal(frame(*size, "pad").fitted(HERE, picture), expected)
    assert np.array_equal(frame(*size, "pad").fitted(HERE, picture[..., 0]), expected[..., 0])  # of a map, too


def test_nothing_else_is_changed_before_resizing() -> None:
    assert frame(4, 4, "squash").fitted(HERE, places(8, 20)).shape == (8, 20, 2)
    assert frame(64, 96).fitted(HERE, places(100, 151)).shape == (100, 151, 2)


def test_a_picture_that_padding_would_blow_up_is_rejected() -> None:
    with pytest.raises(Rejected, match="is 1 high and 60000 wide, too narrow to pad"):
        frame(8, 8, "pad").fitted(HERE, np.zeros((1, 60_000, 3), np.uint8))


@pytest.mark.parametrize(
    ("fit", "shape", "reason"),
    [
        (None, (40, 40), "is 40 high and 40 wide, with another aspect ratio than 16 x 24$"),
        (None, (12, 18), "is 12 high and 18 wide, smaller than the crop of 16 x 24$"),
        ("crop", (40, 20), "is 40 high and 20 wide, smaller than the crop of 16 x 24$"),  # of which 13 rows are left
        ("pad", (15, 10), "is 15 high and 10 wide, smaller than the crop of 16 x 24$"),
        ("squash", (15, 60), "is 15 high and 60 wide, smaller than the crop of 16 x 24$"),
    ],
)
def test_a_rejected_picture_has_a_reason_and_a_hint(fit, shape, reason) -> None:
    with pytest.raises(Rejected) as refused:
        frame(16, 24, fit).fitted(HERE, places(*shape))
    assert refused.match(reason.removesuffix("$"))
    hint = "data.fit to squash, crop or pad" if "aspect" in reason else "size to at most [1"
    assert hint in refused.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_set_becomes_rectangles(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "in", kind, (24, 36))
    sizes = {"size": Size(16, 24), "load": Size(16, 24) if kind == "images" else Size(18, 27)}
    manifest = prepare(kind, folder, tmp_path / "out", **sizes)
    assert manifest.rejected == {}
    assert manifest.size == (16, 24)
    prepared = Prepared.open(tmp_path / "out", verify=True)
    assert prepared.split("train").target.shape[1:3] == sizes["load"]
    assert prepared.split("test").target.shape[1:3] == prepared.split("val").input.shape[1:3] == (16, 24)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["size"] == [16, 24]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit", [None, "squash", "crop", "pad"])
def test_a_look_reports_the_fit_of_other_aspects_and_rejects_like_a_preparation(tmp_path, kind, fit) -> None:
    folder, size = put(tmp_path / "in", kind, (24, 48), count=5), Size(16, 16)
    looked = KINDS[kind][1](folder, Look(size, fit=fit))
    how = fit or ("crop" if kind == "images" else None)
    if how is None:
        with pytest.raises(
            DataError, match=r"with another aspect ratio than 16 x 16.*set data\.fit to squash, crop or pad"
        ):
            prepare(kind, folder, tmp_path / "out", size=16, load=16)
        assert len(looked.rejected) == 10 * (2 if kind == "sets" else 1)
        return
    manifest = prepare(kind, folder, tmp_path / "out", size=16, load=16, fit=fit)
    assert manifest.rejected == looked.rejected == {}
    assert looked_of(manifest).lines["fit"].startswith("resized to 16 x 16")
    assert looked_of(manifest).facts["fit"] == fit
    words = {"squash": "by a factor of up to 2.00", "crop": "removes up to 50%", "pad": "fill up to 50%"}
    assert words[how] in looked.lines["fit"]
    assert looked.facts["changed"] > 0
    assert looked.lines["pixels"] == "24 high, 48 wide"


def test_label_maps_and_photographs_are_cut_alike(tmp_path: Path) -> None:
    ids = np.zeros((24, 48), np.uint8)
    ids[:, 24:] = 1
    for split in ("train", "test"):
        for kind in ("label", "img"):
            (tmp_path / "in" / f"{split}_{kind}").mkdir(parents=True)
        for number in range(4):
            Image.fromarray(ids).save(tmp_path / "in" / f"{split}_label" / f"{number}.png")
            Image.fromarray(np.repeat(200 * ids[..., None], 3, 2)).save(
                tmp_path / "in" / f"{split}_img" / f"{number}.png"
            )
    prepare("labels", tmp_path / "in", tmp_path / "out", size=24, load=24, fit="crop")
    test = Prepared.open(tmp_path / "out").split("test")
    assert np.array_equal(test.target[..., 0], 200 * test.input[..., 0])
    assert test.input[0, 0, :, 0].tolist() == 12 * [0] + 12 * [1]


def test_a_square_is_recorded_as_before_there_were_rectangles(tmp_path: Path) -> None:
    """So that what was prepared, and trained on it, stays finished."""
    manifest = prepare("pairs", put(tmp_path / "in", "pairs", (24, 24)), tmp_path / "out", size=16, load=20)
    stored = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (stored["size"], stored["load"]) == (16, 20)
    assert [stored["splits"][name]["side"] for name in ("train", "val", "test")] == [20, 16, 16]
    assert "fit" not in stored
    shaping = {name: stored[name] for name in ("version", "direction", "size", "load", "splits")}
    assert hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest() == manifest.digest
    squashed = prepare("pairs", tmp_path / "in", tmp_path / "same", size=16, load=20, fit="squash")
    assert squashed.digest == manifest.digest


def test_crops_are_rectangles_from_everywhere_that_keep_a_pair_together(tmp_path: Path) -> None:
    prepare("pairs", put(tmp_path / "in", "pairs", (20, 30)), tmp_path / "out", size=Size(16, 24), load=Size(20, 30))
    train = Prepared.open(tmp_path / "out").split("train")
    batches = Batches(train, batch=4, seed=0, crop=Size(16, 24), flip=False)
    assert batches(0).input.shape == (4, 3, 16, 24)
    corners = set()
    for step in range(12):
        for source, target in zip(*batches(step), strict=True):
            image, wanted = (((part + 1) * 127.5).round().numpy().transpose(1, 2, 0) for part in (source, target))
            [found] = [
                (row, top, left)
                for row in range(len(train))
                for top in range(5)
                for left in range(7)
                if np.array_equal(train.input[row, top : top + 16, left : left + 24], image)
            ]
            row, top, left = found
            assert np.array_equal(train.target[row, top : top + 16, left : left + 24], wanted)
            corners.add((top, left))
    assert {top for top, _ in corners} == set(range(5))
    assert {left for _, left in corners} == set(range(7))


@pytest.mark.parametrize("load", [Size(16, 23), Size(24, 24), Size(24, 16)])
def test_a_load_of_another_aspect_is_refused(load: Size) -> None:
    with pytest.raises(
        DataError, match=f"load at least size with the same aspect ratio; got size 16 x 24, load {load}"
    ):
        Setting(Size(16, 24), load)
