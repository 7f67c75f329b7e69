"""What a look and a preparation tell: halves that are no pair, the same picture twice, and what is rejected, alike."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.data.conversion import Setting
from slimgen.data.halves import goes_on
from slimgen.data.look import Look, look_at_pairs, look_at_sets
from slimgen.data.prepare_translation import prepare_pairs, prepare_unpaired
from slimgen.size import Size
from townhouses import write

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


def photograph(height: int, width: int) -> np.ndarray:
    """A smooth picture: waves that cross its middle."""
    y, x = np.mgrid[:height, :width] / 9
    return np.stack([127 + 100 * np.sin(x + phase) * np.cos(y - phase) for phase in range(3)], 2).astype(np.uint8)


def put(folder: Path, name: str, values: np.ndarray) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(folder / name)


def test_one_photograph_has_no_seam_in_its_middle_and_two_have() -> None:
    whole, other = photograph(48, 96), photograph(48, 96)[::-1, ::-1]
    assert goes_on(whole)
    assert not goes_on(np.concatenate([whole, 255 - other], 1))
    assert not goes_on(np.full((48, 96, 3), 255, np.uint8))  # two drawings on white paper
    assert not goes_on(noise(48, 96))


@pytest.mark.parametrize(
    ("shape", "doubt"),
    [
        ((96, 96), "the pictures are square, so their halves would be only 96 high and 48 wide"),
        ((48, 96), "have no seam in the middle"),
    ],
)
def test_halves_that_do_not_look_like_pairs_are_questioned(tmp_path: Path, shape: tuple[int, int], doubt: str) -> None:
    for split, count in (("train", 4), ("test", 2)):
        for number in range(count):
            put(tmp_path, f"in/{split}/{number}.png", np.roll(photograph(*shape), 5 * number + len(split), 1))
    for look in (look_at_pairs, look_at_sets):
        assert any(doubt in note for note in look(tmp_path / "in", Look()).notes)
    said = CliRunner().invoke(app, ["data", "check", str(tmp_path / "in")]).stdout
    assert (
        f"warning: are these pairs side by side? {'the pictures are square' if shape[0] == shape[1] else '4 of 4'}"
        in said
    )
    manifest = prepare_pairs(tmp_path / "in", tmp_path / "out", Setting(16, 16, validation=1, fit="squash"))
    assert any(doubt in note for note in manifest.notes)


def test_pairs_that_lie_side_by_side_are_not_questioned(tmp_path: Path) -> None:
    write(tmp_path, seed=0, train=6, test=2, size=32)
    assert look_at_pairs(tmp_path, Look()).notes == []


def test_the_same_pictures_in_train_and_test_are_noted_and_duplicates_counted(tmp_path: Path) -> None:
    same, other = noise(16, 16), noise(16, 16)
    for side in "AB":
        for number in range(4):
            put(tmp_path, f"train{side}/{number}.png", same)
        put(tmp_path, f"test{side}/0.bmp", same)  # the same pixels in another file
        put(tmp_path, f"test{side}/1.png", other)
    leaked, again = look_at_pairs(tmp_path, Look()).notes
    assert leaked == "1 test pair equal to training pairs: results will look better than they are"
    assert again == "3 duplicates among the training pairs"
    manifest = prepare_pairs(tmp_path, tmp_path.parent / "out", Setting(8, 12, validation=1))
    assert list(manifest.notes) == [leaked, again]
    assert "duplicates" not in (tmp_path.parent / "out" / "manifest.json").read_text()  # told, and not stored
    put(tmp_path, "testB/0.bmp", other)  # another partner: no longer the same pair
    assert len(look_at_pairs(tmp_path, Look()).notes) == 1


def shapes(folder: Path) -> Path:
    """Eight pairs to train on, of which one is too small, one of another shape than its partner, and one damaged."""
    for split, count in (("train", 8), ("test", 2)):
        for number in range(count):
            for side in "AB":
                put(folder, f"{split}{side}/{number}.png", noise(24, 24))
    put(folder, "trainA/0.png", noise(12, 12))
    put(folder, "trainB/0.png", noise(12, 12))
    put(folder, "trainA/1.png", noise(24, 90))
    (folder / "trainB/2.png").write_bytes((folder / "trainB/2.png").read_bytes()[:200])
    return folder


def test_a_look_and_a_preparation_reject_the_same_with_and_without_a_recipe(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "in")
    manifest = prepare_pairs(folder, tmp_path / "out", Setting(16, 16, validation=2, fit="squash"))
    assert set(manifest.rejected) == {"trainA/0.png", "trainB/1.png", "trainB/2.png"}
    assert look_at_pairs(folder, Look(Size(16, 16), fit="squash")).rejected == manifest.rejected
    recipe = tmp_path / "recipe.yaml"
    tiny = (Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text()
    recipe.write_text(tiny.replace("validation: 4", "validation: 2, fit: squash").replace("BtoA", "AtoB"))
    said = CliRunner().invoke(app, ["data", "check", str(folder), "--recipe", str(recipe), "--json"])
    assert said.exit_code == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["rejected"] == manifest.rejected
    assert found["kept"] == {name: split.count for name, split in manifest.splits.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "recipe.yaml"]  # nothing was written


@pytest.mark.parametrize("seed", range(5))
def test_validation_images_are_chosen_from_usable_ones(tmp_path: Path, seed: int) -> None:
    folder = shapes(tmp_path / "in")
    manifest = prepare_pairs(folder, tmp_path / "out", Setting(16, 16, validation=4, seed=seed, fit="squash"))
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 1, "val": 4, "test": 2}
    sets = prepare_unpaired(folder, tmp_path / "sets", Setting(16, 16, validation=5, seed=seed, fit="squash"))
    assert (sets.splits["val"].count, len(sets.splits["val"].target_names or ())) == (5, 5)
