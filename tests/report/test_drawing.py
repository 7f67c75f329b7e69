import numpy as np
import pytest
from PIL import Image

from slimgen.nets.cf_gan.space import OPERATORS, Shape, path_name, paths, trellis_space
from slimgen.report.drawing import draw_genotype

COLOURS = {"dws": (178, 242, 187), "conv3x3": (255, 236, 153), "resblock": (165, 216, 255)}


def picture(path):
    """A picture as an array (height, width, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def area(path, colour):
    return int((picture(path) == colour).all(axis=2).sum())


def genotype(shape, operators, path="4-2-1"):
    space = trellis_space(shape)
    blocks = [name for name in space if name.startswith("operator.")]
    values = {name: dimension.largest for name, dimension in space.items()}
    return space.canonical({**values, **dict(zip(blocks, operators, strict=True)), "path": path})


@pytest.mark.parametrize("operator", OPERATORS)
def test_blocks_bear_the_colour_of_their_operator(tmp_path, operator):
    other = next(name for name in OPERATORS if name != operator)
    shape = Shape(ngf=8)
    for count in (0, 3, 9):
        draw_genotype(genotype(shape, [operator] * count + [other] * (9 - count)), tmp_path / f"{count}.png")
    none, three, nine = (area(tmp_path / f"{count}.png", COLOURS[operator]) for count in (0, 3, 9))
    # The legend always shows the colour once; three blocks are a third of nine, up to the letters on them.
    assert nine - none == pytest.approx(3 * (three - none), rel=0.03)


@pytest.mark.parametrize("path", [path_name(path) for path in paths(3)])
def test_blocks_lie_in_the_rows_of_their_path(tmp_path, path):
    draw_genotype(genotype(Shape(), ["conv3x3"] * 9, path), tmp_path / "a.png")
    yellow = (picture(tmp_path / "a.png") == COLOURS["conv3x3"]).all(axis=2)
    rows = np.nonzero(yellow.sum(axis=1) > 30)[0]
    bands = 1 + int((np.diff(rows) > 1).sum())
    assert bands == len(set(path.split("-"))) + 1  # and one for the legend


def test_widths_in_channels_and_as_parts_differ(tmp_path):
    drawn = genotype(Shape(ngf=8), ["dws"] * 9)
    draw_genotype(drawn, tmp_path / "parts.png")
    draw_genotype(drawn, tmp_path / "channels.png", ngf=8)
    parts, channels = (picture(tmp_path / name) for name in ("parts.png", "channels.png"))
    assert parts.shape == channels.shape
    assert (parts != channels).any()


def test_a_trellis_of_any_shape_can_be_drawn(tmp_path):
    draw_genotype(genotype(Shape(groups=1, blocks=1), ["dws"], "4"), tmp_path / "small.png")
    draw_genotype(genotype(Shape(groups=4, blocks=5), ["dws"] * 20, "4-2-2-1"), tmp_path / "large.png")
    assert picture(tmp_path / "small.png").shape[1] < picture(tmp_path / "large.png").shape[1]


def test_other_genotypes_are_drawn_as_columns_of_choices(tmp_path):
    draw_genotype({f"c{n}": 16 for n in range(8)}, tmp_path / "short.png")
    draw_genotype({f"c{n}": 16 for n in range(80)}, tmp_path / "long.png")
    short, long = (picture(tmp_path / name).shape for name in ("short.png", "long.png"))
    assert long[0] < 5 * short[0]
    assert long[1] > short[1]


def test_a_long_mask_takes_no_more_room_than_a_short_one(tmp_path):
    draw_genotype({"mask": "01" * 20}, tmp_path / "long.png")
    draw_genotype({"mask": "01" * 2000}, tmp_path / "longer.png")
    assert picture(tmp_path / "longer.png").shape[1] <= picture(tmp_path / "long.png").shape[1] + 50
