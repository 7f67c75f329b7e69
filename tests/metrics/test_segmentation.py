import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slimgen.device import Compute
from slimgen.errors import DataError, RecipeError, WeightsError
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.features import FeatureNetwork
from slimgen.metrics.registry import check
from slimgen.metrics.segmentation import (
    NONE,
    Palette,
    accuracy,
    class_accuracy,
    confusion,
    mean_average_precision,
    mean_iou,
)

CPU = torch.device("cpu")
CLASSES: dict[str, object] = {"wall": [255, 0, 0], "door": [[0, 255, 0], [0, 128, 0]], "sky": [0, 0, 255]}
NAMES = ["seg_accuracy:s", "seg_class_accuracy:s", "seg_miou:s", "seg_map:s"]
WALL, DOOR, DARK, SKY, OTHER = (255, 0, 0), (0, 255, 0), (0, 128, 0), (0, 0, 255), (9, 9, 9)


def picture(*pixels: tuple[int, int, int]) -> Tensor:
    """One row of pixels (1, 3, 1, W) in [-1, 1]."""
    return (torch.tensor(pixels).float() / 127.5 - 1).T[None, :, None]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A network whose class is the strongest of red, green and blue."""
    path = tmp_path_factory.mktemp("segmentation") / "strongest.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.Identity(), torch.zeros(1, 3, 4, 4)), path)
    return {"path": str(path), "mean": 0, "std": 1, "classes": CLASSES}


def test_scores_are_those_of_a_confusion_matrix_worked_out_on_paper() -> None:
    # Class 0: 3 of 4 right; class 1: 1 of 2; class 2: neither there nor seen; class 3: seen once, never there.
    counts = torch.tensor([[3, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]).double()
    assert accuracy(counts) == pytest.approx(4 / 6)
    assert class_accuracy(counts) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert mean_iou(counts) == pytest.approx((3 / 4 + 1 / 3 + 0) / 3)
    assert mean_average_precision(counts) == pytest.approx(100 * mean_iou(counts))


def test_the_input_is_the_truth_and_the_confusion_is_of_the_whole_set(network: dict[str, object]) -> None:
    labels = torch.cat([picture(WALL, WALL, DOOR, OTHER), picture(WALL, DARK, WALL, WALL), picture(*[WALL] * 4)])
    made = torch.cat([picture(WALL, DOOR, DOOR, SKY), picture(WALL, SKY, WALL, WALL), picture(*[WALL] * 4)])
    expected = [9 / 11, (8 / 9 + 1 / 2) / 2, (8 / 9 + 1 / 3 + 0) / 3]
    for batch in (1, 2, 3):
        evaluator = Evaluator(
            (labels, labels.flip(0)), NAMES, compute=Compute(CPU), batch=batch, features={"s": network}
        )
        values = evaluator.score(made)
        assert list(values.values()) == pytest.approx([*expected, 100 * expected[2]], rel=1e-12)
        assert evaluator.measure(lambda images: images)["seg_accuracy:s"] == 1
    assert set(evaluator.goals.values()) == {"max"}


def test_the_protocol_says_which_colours_were_the_truth_and_how_much_they_cover(network: dict[str, object]) -> None:
    labels = picture(WALL, WALL, DOOR, OTHER)

    def protocol(**options: object) -> str:
        features = {"s": {**network, **options}}
        return Evaluator((labels, labels), ["seg_map:s"], compute=Compute(CPU), features=features).protocol

    line = protocol()
    assert "100 x mean intersection over union" in line
    assert "truth within 0 levels of wall 255-0-0, door 0-255-0, door 0-128-0, sky 0-0-255" in line
    assert "75.0000% of its pixels" in line
    other = {**CLASSES, "sky": [0, 0, 254]}
    assert len({line, protocol(tolerance=2), protocol(classes=other), protocol(size=8)}) == 4


def test_one_pass_serves_all_scores_and_the_distance(
    network: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    raw = FeatureNetwork.raw
    monkeypatch.setattr(FeatureNetwork, "raw", lambda self, images: counts.append(len(images)) or raw(self, images))
    labels = torch.cat([picture(WALL, DOOR), picture(SKY, WALL), picture(DARK, WALL)])
    evaluator = Evaluator((labels, labels), [*NAMES, "fd:s"], compute=Compute(CPU), features={"s": network})
    values = evaluator.measure(lambda images: images)
    assert counts == [3, 3]
    assert values["seg_accuracy:s"] == 1
    assert values["fd:s"] == pytest.approx(0, abs=1e-6)


def test_a_pixel_belongs_to_its_nearest_colour_within_the_tolerance() -> None:
    palette = Palette(("dark", "light"), (((0, 0, 0), 0), ((10, 0, 0), 1)), 5)
    maps = picture((4, 0, 0), (6, 0, 0), (10, 3, 4), (10, 4, 4), (10, 0, 0), (5, 0, 0))
    assert palette.label(maps)[0, 0].tolist() == [0, 1, 1, NONE, 1, 0]
    exact = Palette(palette.names, palette.colours)
    assert exact.label(maps)[0, 0].tolist() == [NONE, NONE, NONE, NONE, 1, NONE]


def test_grey_label_maps_are_read_by_their_level() -> None:
    grey = torch.tensor([0.0, 1, 2]).view(1, 1, 1, 3) / 127.5 - 1
    palette = Palette.read("s", {"classes": {"a": [0, 0, 0], "b": [2, 2, 2]}})
    assert palette.label(grey)[0, 0].tolist() == [0, NONE, 1]
    assert torch.equal(palette.label(torch.cat([grey, torch.ones(1, 1, 1, 3)], 1)), palette.label(grey))


def test_scores_of_a_coarser_network_are_enlarged_bilinearly_and_pixels_of_no_class_do_not_count() -> None:
    # Two columns become four, where the first class's score is 1, 0.75, 0.25 and 0; nearest makes it 1, 1, 0, 0.
    logits = torch.tensor([[[[1.0, 0.0]], [[0.6, 0.6]]]])
    labels = torch.tensor([[[0, 0, 1, 1]], [[0, NONE, NONE, 1]]]).to(torch.int16)
    counts = confusion(logits.expand(2, -1, -1, -1), labels, 2)
    assert counts.tolist() == [[[2, 0], [0, 2]], [[1, 0], [0, 1]]]
    counts = confusion(torch.tensor([[[[1.0, 0.0]], [[0.8, 0.8]]]]), labels[:1], 2)
    assert counts.tolist() == [[[1, 1], [0, 2]]]


def test_a_generator_that_has_diverged_gets_the_worst_value(network: dict[str, object]) -> None:
    labels = picture(WALL, DOOR)
    evaluator = Evaluator((labels, labels), NAMES, compute=Compute(CPU), features={"s": network})
    assert set(evaluator.measure(lambda images: images * math.nan).values()) == {-math.inf}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": None}, "needs classes"),
        ({"classes": {"wall": [1, 2, 3]}}, "needs classes"),
        ({"classes": {"wall": [1, 2, 3], "door": [1, 2]}}, "three levels"),
        ({"classes": {"wall": [1, 2, 3], "door": [1, 2, 256]}}, "three levels"),
        ({"classes": {"wall": [1, 2, 3], "door": "red"}}, "three levels"),
        ({"classes": {"wall": [1, 2, 3], "door": []}}, "three levels"),
        ({"classes": {"wall": [1, 2, 3], "door": [[4, 5, 6], [1, 2, 3]]}}, "must all differ"),
        ({"tolerance": -1}, "distance in 8-bit levels"),
        ({"tolerance": float("nan")}, "distance in 8-bit levels"),
    ],
)
def test_invalid_options_are_refused_before_a_run(
    options: dict[str, object], message: str, network: dict[str, object]
) -> None:
    with pytest.raises(RecipeError, match=message):
        check("seg_miou:s", {"s": {**network, **options}})


def test_inputs_in_other_colours_and_networks_of_other_classes_are_refused(network: dict[str, object]) -> None:
    labels = picture(OTHER, OTHER)
    with pytest.raises(DataError, match="allow a tolerance"):
        Evaluator((labels, labels), NAMES, compute=Compute(CPU), features={"s": network})
    with pytest.raises(DataError, match="or three"):
        Palette.read("s", network).label(torch.zeros(1, 4, 4, 4))
    labels = picture(WALL, DOOR)
    more = {"s": {**network, "classes": {**CLASSES, "ground": [1, 1, 1]}}}
    with pytest.raises(WeightsError, match="with 4 classes must return"):
        Evaluator((labels, labels), NAMES, compute=Compute(CPU), features=more).measure(lambda images: images)
    with pytest.raises(RecipeError, match="reserved for pytorch-fid's Inception"):
        check("seg_miou:inception", {"inception": {"path": "x.pth"}})


def test_a_missing_network_is_reported_without_opening_any(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="needs a feature network called s"):
        check("seg_map:s", {})
    with pytest.raises(WeightsError, match="no file"):
        check("seg_map:s", {"s": {"path": str(tmp_path / "none.pt"), "classes": CLASSES}})
