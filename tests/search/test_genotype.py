import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimgen.search import Genotype, SpaceError

VALUES = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.text(max_size=8) | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False),
    max_size=6,
)


@given(VALUES)
def test_a_genotype_survives_json_and_pickle_with_its_key(values):
    genotype = Genotype(values)
    for copy in (
        Genotype.from_json(json.loads(json.dumps(genotype.to_json()))),
        Genotype.from_json(json.dumps(genotype.to_json())),
        pickle.loads(pickle.dumps(genotype)),
    ):
        assert copy == genotype
        assert hash(copy) == hash(genotype)
        assert copy.key == genotype.key


@given(VALUES, st.randoms())
def test_order_changes_neither_equality_nor_key(values, rng):
    names = list(values)
    rng.shuffle(names)
    shuffled = Genotype({name: values[name] for name in names})
    assert shuffled == Genotype(values)
    assert shuffled.key == Genotype(values).key


def test_the_key_is_the_same_in_every_process():
    code = "from slimgen.search import Genotype; print(Genotype({'b': 0.5, 'a': 'x', 'c': 3}).key)"
    keys = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PATH": ""}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        keys.add(done.stdout.strip())
    # the first half of: printf '{"a":"x","b":0.5,"c":3}' | sha256sum
    assert keys == {Genotype({"a": "x", "b": 0.5, "c": 3}).key} == {"891422fa9ff1f863"}


def test_equal_numbers_of_other_types_have_equal_keys():
    assert Genotype({"a": 1.0}) == Genotype({"a": 1})
    assert Genotype({"a": 1.0}).key == Genotype({"a": 1}).key
    assert Genotype({"a": "1"}).key != Genotype({"a": 1}).key


def test_a_genotype_cannot_be_changed():
    values = {"a": 1}
    genotype = Genotype(values)
    values["a"] = 2
    genotype.to_json()["a"] = 2
    assert genotype["a"] == 1
    with pytest.raises(AttributeError, match="frozen"):
        genotype._values = {}
    with pytest.raises(TypeError):
        genotype["a"] = 2


@pytest.mark.parametrize("value", [None, True, float("nan"), float("inf"), [1], {"a": 1}])
def test_what_is_neither_text_nor_a_finite_number_is_refused(value):
    with pytest.raises(SpaceError, match="'a'"):
        Genotype({"a": value})


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"a": null}'])
def test_json_that_is_not_a_genotype_is_refused_in_one_line(text):
    with pytest.raises(SpaceError) as error:
        Genotype.from_json(text)
    assert "\n" not in str(error.value)


def test_parts_can_be_replaced_renamed_and_joined():
    genotype = Genotype({"stem": 1, "g1.b": "x"})
    assert genotype.replace({"g1.b": "y"}, stem=2) == Genotype({"stem": 2, "g1.b": "y"})
    with pytest.raises(SpaceError, match="'g2'"):
        genotype.replace(g2=1)
    assert genotype.prefixed("a2b").under("a2b") == genotype
    both = genotype.prefixed("a2b") | Genotype({"x": 0}).prefixed("b2a")
    assert both.under("b2a") == Genotype({"x": 0})
    with pytest.raises(SpaceError, match=r"a2b\.stem"):
        _ = both | genotype.prefixed("a2b")
