import numpy as np
import pytest
from PIL import Image

from slimgen.methods.cf_gan import picture_genotype
from slimgen.nets.cf_gan.space import OPERATORS, Shape, path_name, paths, trellis_space
from slimgen.recipe import Recipe

RECIPE = Recipe.parse(
    "{name: small, task: paired, method: cf_gan, teach: {updates: 1}, supernet: {ngf: 8, updates: 1},"
    " finetune: {updates: 1}}"
)
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
def test_blocks_have_the_colour_of_their_operator(tmp_path, operator):
    other = next(name for name in OPERATORS if name != operator)
    shape = Shape(ngf=8)
    for count in (0, 3, 9):
        picture_genotype(genotype(shape, [operator] * count + [other] * (9 - count)), tmp_path / f"{count}.png", RECIPE)
    none, three, nine = (area(tmp_path / f"{count}.png", COLOURS[operator]) for count in (0, 3, 9))
    # The legend always shows the colour once; three blocks are a third of nine, up to the letters on them.
    assert nine - none == pytest.approx(3 * (three - none), rel=0.03)


@pytest.mark.parametrize("path", [path_name(path) for path in paths(3)])
def test_blocks_are_in_the_rows_of_their_path(tmp_path, path):
    picture_genotype(genotype(Shape(), ["conv3x3"] * 9, path), tmp_path / "a.png", RECIPE)
    yellow = (picture(tmp_path / "a.png") == COLOURS["conv3x3"]).all(axis=2)
    rows = np.nonzero(yellow.sum(axis=1) > 30)[0]
    bands = 1 + int((np.diff(rows) > 1).sum())
    assert bands == len(set(path.split("-"))) + 1  # and one for the legend


def test_widths_are_written_in_the_channels_of_the_recipe(tmp_path):
    wider = RECIPE.override(["supernet.ngf=16"])
    for name, recipe in (("8", RECIPE), ("16", wider)):
        picture_genotype(genotype(Shape(ngf=8), ["dws"] * 9), tmp_path / f"{name}.png", recipe)
    narrow, wide = (picture(tmp_path / f"{name}.png") for name in ("8", "16"))
    assert narrow.shape == wide.shape
    assert (narrow != wide).any()


def test_a_trellis_of_any_shape_can_be_drawn(tmp_path):
    picture_genotype(genotype(Shape(groups=1, blocks=1), ["dws"], "4"), tmp_path / "small.png", RECIPE)
    picture_genotype(genotype(Shape(groups=4, blocks=5), ["dws"] * 20, "4-2-2-1"), tmp_path / "large.png", RECIPE)
    assert picture(tmp_path / "small.png").shape[1] < picture(tmp_path / "large.png").shape[1]
