import pytest

from slimgen.methods import open_method
from slimgen.recipe import load, presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_makes_sense_to_its_method(name):
    recipe = load(name)
    open_method(recipe.method).check(recipe)


@pytest.mark.parametrize("name", presets())
def test_a_preview_knows_the_space_and_what_its_ends_cost(name: str) -> None:
    recipe = load(name)
    planned = open_method(recipe.method).preview(recipe)
    smallest, largest = (planned.costs(end) for end in (planned.space.smallest(), planned.space.largest()))
    assert 0 < smallest["params"] < largest["params"]
    assert 0 < smallest["macs"] < largest["macs"]
    assert planned.evaluations > 0
    assert planned.updates(100) <= planned.updates(1000)
