from typing import Annotated, Literal

import pytest
from pydantic import Field

from slimgen.errors import RecipeError
from slimgen.methods import METHODS, keys_named
from slimgen.nets import DISCRIMINATORS, GENERATORS
from slimgen.recipe import Recipe, Section, load, presets
from slimgen.recipe.keys import Key, keys_of, shared_keys


class Inner(Section):
    """A part.

    Attributes:
        rate: how fast; in two
            lines.
    """

    rate: float = Field(default=0.5, gt=0, le=1)


class Outer(Section):
    """A whole.

    Attributes:
        kind: which.
        inner: it may be left out.
        usual: null for none.

    Raises:
        ValueError: this: is no key.
    """

    kind: Literal["one", "two"]
    sides: tuple[Annotated[int, Field(ge=8)], ...] = (8, 16)
    inner: Inner | None = None
    usual: Inner | None = Inner()


def test_a_key_tells_its_type_limits_default_and_meaning():
    assert list(keys_of(Outer, "outer.")) == [
        Key("outer.kind", "one | two", "required", "which."),
        Key("outer.sides", "list, each whole number, at least 8", "[8, 16]", ""),
        Key("outer.inner", "section", "none", "it may be left out."),
        Key("outer.inner.rate", "number, above 0, at most 1", "0.5", "how fast; in two lines."),
        Key("outer.usual", "section", "{rate: 0.5}", "null for none."),
        Key("outer.usual.rate", "number, above 0, at most 1", "0.5", "how fast; in two lines."),
    ]


def test_every_key_that_a_preset_gives_is_listed():
    shared = {key.name for key in shared_keys()}
    for name in presets():
        recipe = load(name)
        known = shared | {key.name for key in keys_named(recipe.method)}
        given = recipe.model_dump(exclude_unset=True).items()
        sections = {part: values for part, values in given if isinstance(values, dict)}
        assert {f"{part}.{key}" for part, values in sections.items() for key in values} <= known


def test_the_keys_of_a_method_and_a_family_of_one_name_are_listed_together():
    assert {key.name.partition(".")[0] for key in keys_named("alphagan")} == {"supernet", "search", "teach"}


@pytest.mark.parametrize("name", [*METHODS, *GENERATORS, *DISCRIMINATORS])
def test_every_key_that_comes_with_slimgen_has_a_meaning(name):
    found = keys_named(name)
    assert bool(found) == (name != "adopted")
    assert [key.name for key in [*found, *shared_keys()] if not key.meaning] == []


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'cf_gan'"):
        keys_named("cf_gna")


def test_defaults_are_written_as_a_recipe_has_them():
    written = {key.name: key.default for key in shared_keys()}
    assert written["size"] == "256"
    assert written["teach.betas"] == "[0.5, 0.999]"
    assert written["budget.macs"] == "none"
    assert Recipe.model_fields["seed"].default == int(written["seed"])
