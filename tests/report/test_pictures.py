import numpy as np
import pytest
import torch
from PIL import Image

from slimgen.errors import SlimgenError
from slimgen.report.pictures import GAP, MARGIN, SEAM, TITLE, grid, panels


def test_each_picture_is_in_its_place_enlarged_by_whole_numbers(tmp_path):
    first, second = torch.full((2, 3, 64, 64), -1.0), torch.full((2, 3, 64, 64), 1.0)
    first[1, 0] = 1.0  # the second picture is red
    second[0, :, 0, 0] = 0.0
    sheet = grid({"input": first, "found": second}, tmp_path / "grid.png")
    top, left = MARGIN + TITLE, MARGIN
    assert (sheet[top : top + 128, left : left + 128] == 0).all()
    below = sheet[top + 128 + GAP : top + 2 * 128 + GAP, left : left + 128]
    assert (below == (255, 0, 0)).all()
    beside = sheet[top : top + 128, left + 128 + GAP : left + 2 * 128 + GAP]
    assert (beside[:2, :2] == 128).all()
    assert (beside[2:] == 255).all()
    assert sheet.shape == (top + 2 * 128 + GAP + MARGIN, 2 * MARGIN + 2 * 128 + GAP, 3)


def test_rectangles_are_side_by_side_without_gaps(tmp_path):
    tall = {name: torch.full((2, 3, 64, 40), value) for name, value in (("input", -1.0), ("found", -0.5))}
    sheet = grid(tall, tmp_path / "grid.png")
    top = MARGIN + TITLE
    assert sheet.shape == (top + 2 * 128 + GAP + MARGIN, 2 * MARGIN + 2 * 80 + GAP, 3)
    assert (sheet[top : top + 128, MARGIN : MARGIN + 80] == 0).all()
    wide = panels({"found": torch.full((4, 3, 8, 16), -1.0)}, tmp_path / "panels.png")
    assert wide.shape == (top + 2 * 32 + SEAM + MARGIN, 2 * 64 + SEAM + 2 * MARGIN, 3)


def test_the_file_holds_the_array(tmp_path):
    images = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    sheet = grid({"a": images}, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert np.array_equal(sheet, np.array(image.convert("RGB")))


def test_the_names_are_written_above_the_columns(tmp_path):
    images = torch.ones((1, 3, 32, 32))
    with_name, without = (grid({name: images}, tmp_path / "grid.png") for name in ("original", " "))
    assert (with_name[: MARGIN + TITLE] < 128).any()
    assert (without == 255).all()


def test_values_out_of_range_are_cut_and_grey_becomes_rgb(tmp_path):
    sheet = grid({"a": torch.full((1, 1, 128, 128), 7.0), "b": torch.full((1, 3, 128, 128), -7.0)}, tmp_path / "g.png")
    assert (sheet[-MARGIN - 1, MARGIN] == 255).all()
    assert (sheet[-MARGIN - 1, MARGIN + 128 + GAP] == 0).all()


def test_scale_enlarges_large_pictures_too(tmp_path):
    images = torch.zeros((1, 3, 200, 200))
    narrow, wide = (grid({"a": images}, tmp_path / "g.png", scale=scale) for scale in (1, 2))
    assert wide.shape[1] - narrow.shape[1] == 200


@pytest.mark.parametrize(
    "columns",
    [{}, {"a": torch.zeros(0, 3, 8, 8)}, {"a": torch.zeros(1, 3, 8, 8), "b": torch.zeros(2, 3, 8, 8)}],
)
def test_columns_of_different_length_or_none_are_refused(tmp_path, columns):
    with pytest.raises(SlimgenError, match="same number of pictures"):
        grid(columns, tmp_path / "grid.png")


def test_an_array_that_is_no_picture_is_refused_by_name(tmp_path):
    with pytest.raises(SlimgenError, match=r"target: \(1, 8, 8\)"):
        grid({"target": torch.zeros(1, 8, 8)}, tmp_path / "grid.png")


def test_panels_are_squares_of_pictures_in_the_order_of_reading(tmp_path):
    first, second = torch.full((5, 3, 32, 32), -1.0), torch.full((5, 3, 32, 32), 1.0)
    first[1] = 1.0  # right of the first; the fifth does not fill a square
    sheet = panels({"original": first, "found": second}, tmp_path / "panels.png")
    side, top = 64, MARGIN + TITLE
    panel = 2 * side + SEAM
    assert sheet.shape == (top + panel + MARGIN, 2 * panel + 3 * MARGIN, 3)
    for place, value in enumerate((0, 255, 0, 0)):
        row, column = top + place // 2 * (side + SEAM), MARGIN + place % 2 * (side + SEAM)
        assert (sheet[row : row + side, column : column + side] == value).all()
    assert (sheet[top:, 2 * MARGIN + panel :] == 255).all()
    assert (sheet[:top, 2 * MARGIN + panel :] < 128).any()
    with pytest.raises(SlimgenError, match="the same number of pictures"):
        panels({"a": first, "b": second[:4]}, tmp_path / "panels.png")
