import pytest

from slimgen import errors
from slimgen.errors import RecipeError, SlimgenError, nearest


def test_an_error_is_one_line_of_rule_value_and_hint() -> None:
    error = RecipeError("a size must be\nabove 0.", -3, "raise it")
    assert str(error) == "a size must be above 0; got -3; raise it."
    assert str(SlimgenError("no key 'x'", None, nearest("sise", ["size"]))) == "no key 'x'; did you mean 'size'?"


def test_every_error_of_a_user_is_a_value_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) >= 7
    assert all(issubclass(kind, SlimgenError) for kind in kinds)
    with pytest.raises(ValueError, match="rule"):
        raise kinds[-1]("rule")


def test_far_words_get_the_whole_list() -> None:
    assert nearest("qqq", ["b", "a"]) == "known: a, b"
