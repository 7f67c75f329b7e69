import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimgen.data.images import Rejected, quiet
from slimgen.data.label_maps import Classes, edges, read_instances
from slimgen.data.shapes import resize_ids
from slimgen.errors import DataError
from slimgen.size import Size

IDS = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
COLOURS = ((10, 20, 30), (200, 0, 0), (0, 200, 0))
HERE = Path("map.png")


def png(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind)
    return file.getvalue()


def read(classes: Classes, image: Image.Image, kind: str = "PNG") -> np.ndarray:
    with quiet():
        return classes.read(HERE, png(image, kind))


def with_palette() -> Image.Image:
    image = Image.fromarray(IDS)
    image.putpalette(bytes(range(30)))
    return image


@pytest.mark.parametrize(
    "image",
    [Image.fromarray(IDS), with_palette(), Image.fromarray(IDS.astype(np.uint16))],
    ids=["grey", "palette", "16 bits"],
)
def test_ids_are_the_numbers_in_the_file_whatever_its_colours(image: Image.Image) -> None:
    assert np.array_equal(read(Classes(3), image), IDS)


def test_a_colour_becomes_its_position_in_the_palette() -> None:
    image = Image.fromarray(np.array(COLOURS, np.uint8)[IDS])
    assert np.array_equal(read(Classes(3, palette=COLOURS), image), IDS)
    turned = COLOURS[::-1]
    assert np.array_equal(read(Classes(3, palette=turned), image), 2 - IDS)


def test_unknown_pixels_are_of_the_last_class_where_there_is_one() -> None:
    unknown = IDS.copy()
    unknown[0, 0] = 255
    assert read(Classes(3, unknown=True), Image.fromarray(unknown))[0, 0] == 3
    strange = np.array(COLOURS, np.uint8)[IDS]
    strange[0, 0] = 77
    assert read(Classes(3, unknown=True, palette=COLOURS), Image.fromarray(strange))[0, 0] == 3
    with pytest.raises(Rejected, match=r"16\.7% pixels of the unknown id 255"):
        read(Classes(3), Image.fromarray(unknown))
    with pytest.raises(Rejected, match=r"16\.7% pixels of colours outside the palette, such as \[77, 77, 77\]"):
        read(Classes(3, palette=COLOURS), Image.fromarray(strange))


@pytest.mark.parametrize(
    ("image", "kind", "fault"),
    [
        (Image.fromarray(IDS), "JPEG", "a format that may change ids"),
        (Image.fromarray(IDS + 1), "PNG", "has the id 3, but classes are 0 to 2; set data.classes to 4"),
        (Image.fromarray(IDS.astype(np.uint16) + 300), "PNG", "ids from 300 to 302"),
        (Image.fromarray(np.array(COLOURS, np.uint8)[IDS]), "PNG", "set data.palette"),
        (Image.fromarray(IDS > 0), "PNG", "mode 1"),
    ],
)
def test_a_map_that_holds_other_numbers_is_rejected_by_name(image: Image.Image, kind: str, fault: str) -> None:
    with pytest.raises(Rejected, match=fault) as caught:
        read(Classes(3), image, kind)
    assert str(caught.value).startswith(str(HERE))


@pytest.mark.parametrize("bad", [{"count": 0}, {"count": 256}, {"count": 2, "palette": COLOURS}])
def test_invalid_classes_and_palettes_are_refused(bad: dict) -> None:
    with pytest.raises(DataError):
        Classes(**bad)


def test_edges_are_on_both_sides_of_a_border_and_nowhere_else() -> None:
    instances = np.zeros((5, 6), np.uint32)
    instances[1:3, 2:4] = 70_000
    expected = np.zeros((5, 6), np.uint8)
    expected[1:3, 1:5] = 255
    expected[0:4, 2:4] = 255
    assert np.array_equal(edges(instances), expected)
    assert not edges(np.full((4, 4), 9, np.uint32)).any()


def test_instances_are_identified_by_16_bit_numbers_or_by_colours() -> None:
    numbers = np.array([[26_001, 26_002], [26_001, 7]], np.uint16)
    colours = np.array([[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]]], np.uint8)
    with quiet():
        assert np.array_equal(read_instances(HERE, png(Image.fromarray(numbers))), numbers)
        assert np.array_equal(read_instances(HERE, png(Image.fromarray(colours))), [[65_536, 256], [65_536, 1]])


def test_resizing_ids_repeats_or_skips_pixels_and_makes_no_new_ids() -> None:
    square = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert np.array_equal(resize_ids(square, Size(6, 6)), square.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(resize_ids(square.repeat(3, 0).repeat(3, 1), Size(3, 3)), square)
