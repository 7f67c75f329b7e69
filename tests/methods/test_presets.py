import pytest

from slimgen.methods import open_method
from slimgen.recipe import load, presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_makes_sense_to_its_method(name):
    recipe = load(name)
    open_method(recipe.method).check(recipe)
