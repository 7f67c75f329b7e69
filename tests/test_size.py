"""Sizes: how they are read and written."""

import math

import pytest
from pydantic import BaseModel

from slimgen.errors import SlimgenError
from slimgen.size import Size, alike


class Model(BaseModel):
    size: Size


@pytest.mark.parametrize("written", [64, "64", [64], [64, 64], (64, 64), "64x64", 64.0])
def test_a_square_is_written_as_one_number_in_any_case(written) -> None:
    assert Size.of(written) == (64, 64)
    assert Size.of(written).plain == 64
    assert Model(size=written).model_dump_json() == '{"size":64}'


@pytest.mark.parametrize("written", [[72, 96], (72, 96), "72x96", " 72 x 96 ", Size(72, 96)])
def test_height_comes_first(written) -> None:
    size = Size.of(written)
    assert (size.height, size.width, str(size), size.plain) == (72, 96, "72 x 96", [72, 96])
    assert Model(size=written).model_dump(mode="json") == {"size": [72, 96]}
    assert Model.model_validate_json(Model(size=written).model_dump_json()).size == size


@pytest.mark.parametrize(
    "written", [0, -8, True, None, "", "x", "64x", "72y96", "7.5", 7.5, math.nan, math.inf, [], [1, 2, 3], [8, "9"], {}]
)
def test_an_invalid_size_is_refused_in_one_line(written) -> None:
    with pytest.raises(SlimgenError, match="height and width, such as 64, \\[72, 96\\] or 72x96; got"):
        Size.of(written)
    with pytest.raises(ValueError, match="height and width"):
        Model(size=written)


def test_two_shapes_are_alike_within_two_percent_in_either_order() -> None:
    assert alike((72, 96), (360, 480))
    assert alike((321, 481), (64, 96))
    assert not alike((96, 72), (72, 96))
    assert alike((100, 100), (99, 100))
    assert alike((99, 100), (100, 100))
    assert not alike((100, 100), (97, 100))


def test_a_size_is_within_another_if_both_sides_are() -> None:
    assert Size(72, 96).within(Size(72, 96))
    assert not Size(72, 96).within(Size(100, 95))
