import numpy as np
from PIL import Image

from slimgen.report.figures import picture_genotype


def picture(path):
    """A picture as an array (height, width, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def test_other_genotypes_are_drawn_as_columns_of_choices(tmp_path):
    picture_genotype({f"c{n}": 16 for n in range(8)}, tmp_path / "short.png")
    picture_genotype({f"c{n}": 16 for n in range(80)}, tmp_path / "long.png")
    short, long = (picture(tmp_path / name).shape for name in ("short.png", "long.png"))
    assert long[0] < 5 * short[0]
    assert long[1] > short[1]


def test_a_long_mask_takes_no_more_room_than_a_short_one(tmp_path):
    picture_genotype({"mask": "01" * 20}, tmp_path / "long.png")
    picture_genotype({"mask": "01" * 2000}, tmp_path / "longer.png")
    assert picture(tmp_path / "longer.png").shape[1] <= picture(tmp_path / "long.png").shape[1] + 50
