import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.conversion import Setting
from slimgen.data.prepare_translation import prepare_pairs
from slimgen.data.prepared import Prepared
from townhouses import CLASSES, IDS, light, openings, roofs, scene, shops, write
from townhouses.canvas import Canvas
from townhouses.classes import colour_map
from townhouses.houses import wall_paint

DIGEST = """
import hashlib
from townhouses import scene
s = scene(3, 14, 64)
print(hashlib.sha256(s.labels.tobytes() + s.day.tobytes() + s.night.tobytes()).hexdigest())
"""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


def test_a_scene_is_the_same_in_every_process() -> None:
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout.strip()
    s = scene(3, 14, 64)
    assert hashlib.sha256(s.labels.tobytes() + s.day.tobytes() + s.night.tobytes()).hexdigest() == there


def test_scenes_of_other_seeds_and_indices_differ() -> None:
    pictures = [scene(seed, index, 64).labels.tobytes() for seed in (0, 1) for index in (0, 1)]
    assert len(set(pictures)) == 4


def test_colours_name_classes_one_to_one_and_far_enough_apart() -> None:
    colours = np.array(list(CLASSES.values()), int)
    apart = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(len(colours), dtype=int)
    assert apart.min() >= 64
    s = scene(0, 0, 64)
    assert np.array_equal(s.label_map, colour_map(s.labels))
    assert np.array_equal(colours[s.labels], s.label_map)


def test_every_class_occurs() -> None:
    seen = set().union(*(np.unique(scene(0, index, 64).labels).tolist() for index in range(60)))
    assert {name for name, place in IDS.items() if place not in seen} == set()


@pytest.mark.parametrize("size", [32, 64, 97, 256])
def test_a_scene_has_the_size_asked_for(size: int) -> None:
    s = scene(0, 2, size)
    assert s.labels.shape == (size, size)
    assert s.day.shape == s.night.shape == s.label_map.shape == (size, size, 3)
    assert {array.dtype.name for array in (s.labels, s.day, s.night, s.label_map)} == {"uint8"}


def test_another_size_shows_the_same_street() -> None:
    agree = []
    for index in range(6):
        small, large = (scene(0, index, size).label_map for size in (64, 192))
        same = np.abs(small.astype(int) - large[1::3, 1::3]).sum(-1) < 8
        agree.append(same.mean())
    assert np.mean(agree) > 0.7


def test_day_and_night_have_the_same_geometry() -> None:
    """Edges of the night lie on edges of the day: any shift by a pixel makes them agree less."""
    s = scene(0, 5, 128)
    # Walls and roofs only, where no light is lit: what remains is the shape of things.
    edges = [np.abs(np.diff(np.log1p(picture.astype(float).mean(-1)), axis=1))[:-1] for picture in (s.day, s.night)]
    edges += [np.abs(np.diff(np.log1p(picture.astype(float).mean(-1)), axis=0))[:, :-1] for picture in (s.day, s.night)]
    day, night = edges[0] + edges[2], edges[1] + edges[3]
    middle = slice(2, -2)

    def agreement(down: int, across: int) -> float:
        moved = np.roll(night, (down, across), (0, 1))
        return float(np.corrcoef(day[middle, middle].ravel(), moved[middle, middle].ravel())[0, 1])

    shifts = {(y, x): agreement(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    here = shifts.pop((0, 0))
    assert here > 0.5
    assert here > max(shifts.values()) + 0.1


def test_night_is_dark_and_its_windows_are_lit_where_curtains_hang() -> None:
    lit, dark, day = [], [], []
    for index in range(12):
        s = scene(0, index, 64)
        home = np.isin(s.labels, [IDS["sash_curtain"], IDS["casement_curtain"]])
        empty = np.isin(s.labels, [IDS["sash"], IDS["casement"]])
        lit += s.night[home].mean(-1).tolist()
        dark += s.night[empty].mean(-1).tolist()
        day.append(s.day.mean() / s.night.mean())
    assert np.mean(lit) > 2 * np.mean(dark)
    assert min(day) > 1.5


def test_the_noise_is_uniform_from_minus_2_to_2(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = scene(0, 9, 128).day.astype(int)
    monkeypatch.setattr(light, "NOISE", 0)
    noise = noisy - scene(0, 9, 128).day
    assert set(np.unique(noise)) == {-2, -1, 0, 1, 2}
    assert noise.std() == pytest.approx(2**0.5, rel=0.02)


def test_fine_detail_matters_a_quarter_of_the_size_does_not_hold_it() -> None:
    for size in (64, 128):
        losses = []
        for index in range(4):
            day = Image.fromarray(scene(0, index, size).day)
            small = day.resize((size // 4, size // 4), Image.Resampling.BICUBIC)
            losses.append(psnr(np.asarray(day), np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))))
        assert np.mean(losses) < 24


def parts() -> dict[str, tuple]:
    rect, wide = (18, 20, 47, 60), (10, 30, 55, 50)
    return {
        "sash": (openings.window, rect, "sash", False),
        "sash with curtains": (openings.window, rect, "sash", True),
        "arched casement": (openings.window, rect, "casement", True, 14.5),
        "shutters": (openings.shutters, rect, "shutter_green", 4),
        "flower box": (openings.flower_box, 18, 47, 40),
        "balcony": (openings.balcony, 18, 47, 40, 9),
        "door": (openings.door, rect, "door_red", True),
        "shop": (shops.shop, (10, 25, 55, 63), "shop_navy", "awning_red"),
        "mansard": (roofs.mansard, wide, [18, 42], [True, True]),
        "tiles": (roofs.tiled_slope, wide),
        "slates": (roofs.slate_slope, wide),
        "cornice": (roofs.cornice, 10, 55, 40),
    }


@pytest.mark.parametrize("part", parts())
def test_the_parts_of_a_house_are_mirror_symmetric(part: str) -> None:
    """Else a flipped pair would show a photograph that no label map can foretell."""
    canvas = Canvas(65)
    draw, *arguments = parts()[part]
    canvas.fill((0, 0, 65, 65), (120, 130, 140), "brick_red")
    draw(canvas, *arguments)
    albedo, glow = canvas.reduced()
    assert len(np.unique(albedo)) > 3
    assert np.array_equal(canvas.ids, canvas.ids[:, ::-1])
    assert np.abs(albedo - albedo[:, ::-1]).max() < 0.01
    assert np.abs(glow - glow[:, ::-1]).max() < 0.01


@pytest.mark.parametrize("wall", ["brick_red", "stone", "stucco_blue"])
def test_walls_of_whole_bricks_are_mirror_symmetric(wall: str) -> None:
    canvas = Canvas(64)
    rect = (8, 10, 8 + 6 * 4 + 1, 59)
    canvas.fill(rect, wall_paint(canvas, wall, 8, 10, 59), wall)
    albedo = canvas.reduced()[0][10:59, 8:33]
    assert np.abs(albedo - albedo[:, ::-1]).max() < 0.01


def test_the_same_files_are_written_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, seed=1, train=3, test=2, size=32)
    a, b = ({p.relative_to(r): p.read_bytes() for p in r.rglob("*.png")} for r in (tmp_path / "a", tmp_path / "b"))
    assert a == b
    assert len(a) == 5


def test_a_paired_set_is_prepared_to_its_very_label_maps_and_photographs(tmp_path: Path) -> None:
    write(tmp_path / "in", seed=1, train=4, test=2, size=32)
    prepare_pairs(tmp_path / "in", tmp_path / "out", Setting(size=32, load=32, direction="BtoA", validation=1, seed=0))
    test = Prepared.open(tmp_path / "out").split("test")
    for row, index in enumerate((4, 5)):
        assert np.array_equal(test.input[row], scene(1, index, 32).label_map)
        assert np.array_equal(test.target[row], scene(1, index, 32).day)


def test_an_unpaired_set_trains_on_different_streets_and_tests_on_the_same(tmp_path: Path) -> None:
    write(tmp_path, seed=1, train=3, test=2, size=32, layout="unpaired")
    names = {part: {p.name for p in (tmp_path / part).iterdir()} for part in ("trainA", "trainB", "testA", "testB")}
    assert names["trainA"].isdisjoint(names["trainB"])
    assert len(names["trainA"]) == len(names["trainB"]) == 3
    assert names["testA"] == names["testB"] == {"00006.png", "00007.png"}
    assert np.array_equal(np.asarray(Image.open(tmp_path / "testA" / "00006.png")), scene(1, 6, 32).day)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "testB" / "00006.png")), scene(1, 6, 32).night)


def test_an_unpaired_set_may_have_more_streets_by_night_than_by_day(tmp_path: Path) -> None:
    write(tmp_path, seed=1, train=2, test=1, size=32, layout="unpaired", night=3)
    names = {part: sorted(p.stem for p in (tmp_path / part).iterdir()) for part in ("trainA", "trainB", "testA")}
    assert names == {"trainA": ["00000", "00001"], "trainB": ["00002", "00003", "00004"], "testA": ["00005"]}
    assert np.array_equal(np.asarray(Image.open(tmp_path / "trainB" / "00004.png")), scene(1, 4, 32).night)


def test_an_upscaling_set_has_parts_of_scenes_of_unequal_sizes_and_every_test_scene_by_day_and_by_night(tmp_path):
    write(tmp_path, seed=1, train=4, test=2, size=64, layout="upscaling")
    found = {path.relative_to(tmp_path).as_posix(): np.asarray(Image.open(path)) for path in tmp_path.rglob("*.png")}
    tested = [f"test/{when}/0000{number}.png" for number in (4, 5) for when in ("day", "night")]
    assert sorted(found) == sorted([*(f"train/0000{number}.png" for number in range(4)), *tested])
    shapes = {picture.shape for picture in found.values()}
    assert len(shapes) > 3
    assert all(32 <= side <= 64 for shape in shapes for side in shape[:2])
    for name, picture in found.items():
        index = int(name[-9:-4])
        whole = scene(1, index, 64)
        light = whole.night if "night" in name or (name.startswith("train") and index % 2) else whole.day
        windows = np.lib.stride_tricks.sliding_window_view(light, picture.shape)
        assert (windows == picture).all(axis=(3, 4, 5)).any()


def test_images_are_only_streets_by_day(tmp_path: Path) -> None:
    write(tmp_path, seed=1, train=2, test=1, size=32, layout="images")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert files == ["test/00002.png", "train/00000.png", "train/00001.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "test" / "00002.png")), scene(1, 2, 32).day)


@pytest.mark.parametrize(("seed", "index", "size"), [(-1, 0, 64), (0, -1, 64), (0, 0, 31), (0, 0, 1025)])
def test_a_scene_out_of_range_is_refused(seed: int, index: int, size: int) -> None:
    with pytest.raises(ValueError, match="; got "):
        scene(seed, index, size)


@pytest.mark.parametrize(
    "change",
    [{"layout": "pairs"}, {"train": 0}, {"test": 0}, {"size": 8}, {"night": 3}, {"night": 0, "layout": "unpaired"}],
)
def test_an_invalid_data_set_is_refused(tmp_path: Path, change: dict) -> None:
    with pytest.raises(ValueError, match="; got "):
        write(tmp_path, **{"seed": 0, "train": 1, "test": 1, "size": 32} | change)
