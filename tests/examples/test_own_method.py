"""The recipe of the user-defined method of the examples; tests/methods/test_every_method.py runs the method."""

from pathlib import Path

import pytest

from examples import own_method
from slimgen.errors import RecipeError
from slimgen.methods import open_method
from slimgen.recipe import load

RECIPE = load(str(Path(__file__).parents[2] / "examples" / "own_method.yaml"))


def test_its_recipe_names_it_by_its_module() -> None:
    assert open_method(RECIPE.method) is own_method
    own_method.check(RECIPE)


def test_an_original_without_a_width_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(RecipeError, match="ngf"):
        own_method.check(RECIPE.override(["teach.generator={family: resnet, config: 8_8_8_8_8_8_8_8, blocks: 3}"]))
