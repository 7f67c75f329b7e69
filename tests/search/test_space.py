import itertools
import math
import pickle
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimgen.search import Choice, Genotype, Mask, Space, SpaceError

TREE = Space(
    {
        "depth": Choice((1, 2, 3)),
        "op.1": Choice(("dws", "conv", "res")),
        "op.2": Choice(("dws", "conv", "res")),
        "op.3": Choice(("dws", "conv", "res")),
        "width.2": Choice((0.25, 0.5, 0.75, 1)),
        "width.3": Choice((8, 16)),
    },
    {
        "op.2": ("depth", {2, 3}),
        "op.3": ("depth", {3}),
        "width.2": ("op.2", {"conv", "res"}),
        "width.3": ("op.3", {"res"}),
    },
)


@st.composite
def spaces(draw, masks=True):
    """Any small forest of choices and masks, declared in any order."""
    names = [f"d{i}" for i in range(draw(st.integers(1, 5)))]
    dimensions, conditions = {}, {}
    for position, name in enumerate(names):
        if masks and draw(st.booleans()):
            length = draw(st.integers(1, 4))
            dimensions[name] = Mask(length, draw(st.integers(0, length)))
        else:
            dimensions[name] = Choice(tuple(range(draw(st.integers(1, 3)))))
        parents = [other for other in names[:position] if isinstance(dimensions[other], Choice)]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            options = dimensions[parent].options
            conditions[name] = (parent, frozenset(draw(st.sets(st.sampled_from(options), min_size=1))))
    shown = draw(st.permutations(names))
    return Space({name: dimensions[name] for name in shown}, conditions)


def values_of(dimension):
    if isinstance(dimension, Choice):
        return dimension.options
    bits = map("".join, itertools.product("01", repeat=dimension.length))
    return [mask for mask in bits if mask.count("1") >= dimension.minimum]


def brute_force(space):
    grid = itertools.product(*(values_of(dimension) for dimension in space.values()))
    return {space.canonical(dict(zip(space, values, strict=True))) for values in grid}


@given(spaces())
def test_size_and_enumeration_agree_with_brute_force(space):
    listed = list(space.enumerate())
    assert set(listed) == brute_force(space)
    assert len(listed) == len(set(listed)) == space.size


def test_size_of_a_tree_worked_by_hand():
    # an operator with a width below it: dws, or conv or res with one of 4 widths: 9; the third: dws, conv, res x 2: 4
    assert TREE.size == 3 + 3 * 9 + 3 * 9 * 4
    assert Space({"m": Mask(5, 2)}).size == 2**5 - 1 - 5
    assert Space({}).size == 1
    assert Space({f"c{i}": Choice(tuple(range(7))) for i in range(30)}).size == 7**30


def test_enumeration_is_lazy():
    space = Space({f"c{i}": Choice(tuple(range(7))) for i in range(30)})
    first = list(itertools.islice(space.enumerate(), 8))
    assert first[0] == space.smallest()
    assert [genotype["c29"] for genotype in first] == [0, 1, 2, 3, 4, 5, 6, 0]


@given(spaces(), st.randoms(use_true_random=False))
def test_everything_a_space_makes_is_a_canonical_genotype_of_it(space, rng):
    a, b = space.sample(rng), space.sample(rng)
    made = [a, b, space.largest(), space.smallest(), space.cross(a, b, rng), space.mutate(a, rng, 0.3)]
    for genotype in made + space.neighbours(a):
        space.check(genotype)
        assert space.canonical(genotype) == genotype
        assert list(genotype) == list(space)


@given(spaces(), st.randoms(use_true_random=False), st.floats(0, 1))
def test_mutation_always_changes_something_where_something_can_change(space, rng, rate):
    genotype = space.sample(rng)
    assert (space.mutate(genotype, rng, rate) != genotype) == (space.size > 1)


@given(spaces(), st.randoms(use_true_random=False))
def test_a_child_has_every_value_from_a_parent_where_it_exists(space, rng):
    a, b = space.sample(rng), space.sample(rng)
    child = space.cross(a, b, rng)
    for name in space.active(child):
        donors = [parent for parent in (a, b) if name in space.active(parent)]
        assert donors
        if isinstance(space[name], Choice):
            assert child[name] in {parent[name] for parent in donors}


@given(spaces(masks=False), st.randoms(use_true_random=False))
def test_neighbours_are_all_single_replacements(space, rng):
    genotype = space.sample(rng)
    neighbours = space.neighbours(genotype)
    assert len(set(neighbours)) == len(neighbours) == sum(space[name].size - 1 for name in space.active(genotype))
    for neighbour in neighbours:
        both = space.active(genotype) & space.active(neighbour)
        assert sum(genotype[name] != neighbour[name] for name in both) == 1


def test_inactive_dimensions_rest_and_do_not_distinguish_genotypes():
    one = {"depth": 1, "op.1": "res", "op.2": "res", "op.3": "res", "width.2": 1, "width.3": 16}
    canonical = TREE.canonical(one)
    assert canonical == TREE.canonical({"depth": 1, "op.1": "res"})
    assert canonical["op.2"] == "dws"
    assert canonical["width.2"] == 0.25
    assert TREE.active(canonical) == {"depth", "op.1"}
    assert TREE.largest()["width.3"] == 16
    with pytest.raises(SpaceError, match=r"op\.2 does not exist where depth is 1.*'res'"):
        TREE.check(one)


def test_a_dimension_that_mutation_activates_is_drawn_at_random():
    rng = random.Random(0)
    shallow = TREE.canonical({"depth": 1, "op.1": "dws"})
    seen = Counter(m["op.2"] for m in (TREE.mutate(shallow, rng, 0.5) for _ in range(300)) if m["depth"] > 1)
    assert set(seen) == {"dws", "conv", "res"}


def test_mutation_rate_is_the_probability_of_each_change():
    space = Space({f"c{i}": Choice((0, 1, 2)) for i in range(20)})
    rng, start = random.Random(1), space.smallest()
    mutants = [space.mutate(start, rng, 0.2) for _ in range(2000)]
    changed = [value for mutant in mutants for value in mutant.values() if value]
    expected, deviation = 2000 * 20 * 0.2, math.sqrt(2000 * 20 * 0.2 * 0.8)
    assert abs(len(changed) - expected - 2000 * 0.8**20) < 4 * deviation
    assert abs(changed.count(1) - len(changed) / 2) < 4 * math.sqrt(len(changed)) / 2


def test_weights_direct_the_mutation_of_a_choice_and_never_keep_the_current_option():
    space = Space({"c": Choice((0, 1, 2, 3))})
    rng, start = random.Random(2), space.canonical({"c": 0})
    drawn = Counter(space.mutate(start, rng, 1, lambda name, genotype: (0.7, 0.1, 0.0, 0.2))["c"] for _ in range(3000))
    assert set(drawn) == {1, 3}
    assert abs(drawn[3] - 2000) < 4 * math.sqrt(3000 * 2 / 9)
    only_current = Counter(space.mutate(start, rng, 1, lambda name, genotype: (1, 0, 0, 0))["c"] for _ in range(60))
    assert set(only_current) == {1, 2, 3}


def test_mask_mutation_flips_one_segment_and_repairs_empty_layers():
    rng, mask = random.Random(3), Mask(40)
    for _ in range(100):
        before = mask.sample(rng)
        after = mask.change(before, rng)
        flipped = [place for place in range(40) if before[place] != after[place]]
        assert flipped == list(range(flipped[0], flipped[-1] + 1))
    places = {Mask(8).change("10000000", random.Random(seed)).find("1") for seed in range(3000)}
    assert places == set(range(8))
    assert all("1" in Mask(2).cross("10", "01", random.Random(seed)) for seed in range(50))


def test_mask_crossover_swaps_one_segment():
    rng, mask = random.Random(4), Mask(30)
    for _ in range(100):
        child = mask.cross("1" * 30, "0" * 30, rng)
        assert sum(child[i] != child[i - 1] for i in range(1, 30)) <= 2 or child.count("1") == 1


def test_pinning_leaves_only_the_free_names():
    at = TREE.largest()
    pinned = TREE.pin(at, free="op.")
    assert {name for name, dimension in pinned.items() if dimension.size > 1} == {"op.1", "op.2", "op.3"}
    assert pinned.size == 27
    assert TREE.pin(at).size == 1
    assert list(TREE.pin(at).enumerate()) == [at]
    for genotype in pinned.enumerate():
        TREE.check(genotype)
    assert TREE.pin(at, free=("op.1", "depth")).size == 9
    with pytest.raises(SpaceError, match=r"'opp'.*did you mean"):
        TREE.pin(at, free="opp")


def test_pinned_raw_values_count_for_dimensions_that_become_active():
    raw = {name: dimension.largest for name, dimension in TREE.items()}
    found = {genotype["depth"]: genotype for genotype in TREE.pin({**raw, "depth": 1}, free="depth").enumerate()}
    assert found[3] == TREE.largest()
    assert found[2]["op.2"] == "res"
    assert found[1] == TREE.canonical({"depth": 1, "op.1": "res"})


def test_genotypes_of_a_narrowed_space_are_genotypes_of_the_whole():
    narrowed = TREE.narrow({"op": ("conv", "res"), "op.1": ("dws",), "width.2": (0.5, 1)})
    assert narrowed["op.2"].options == ("conv", "res")
    assert narrowed["op.1"].options == ("dws",)
    for genotype in narrowed.enumerate():
        narrowed.check(genotype)
        TREE.check(genotype)
    shallow = narrowed.canonical({"depth": 1, "op.1": "dws"})
    assert shallow.key == TREE.canonical({"depth": 1, "op.1": "dws"}).key
    rng = random.Random(5)
    for _ in range(100):
        narrowed.check(narrowed.mutate(shallow, rng, 0.3))
    assert narrowed.pin(shallow, free="depth").size == 3
    for key, options, match in [
        ("op", ("pool",), "'pool'.*conv, dws, res"),
        ("opp", ("conv",), "did you mean"),
        ("op.1", (), "keep one"),
    ]:
        with pytest.raises(SpaceError, match=match):
            TREE.narrow({key: options})
    with pytest.raises(SpaceError, match="mask 'm'"):
        Space({"m": Mask(3)}).narrow({"m": ("111",)})


def test_two_spaces_are_joined_under_prefixes():
    joined = TREE.prefixed("a2b") | TREE.prefixed("b2a")
    assert joined.size == TREE.size**2
    genotype = joined.sample(random.Random(6))
    TREE.check(genotype.under("a2b"))
    assert genotype.under("a2b").prefixed("a2b") | genotype.under("b2a").prefixed("b2a") == genotype
    with pytest.raises(SpaceError, match="depth"):
        _ = TREE | TREE


def test_a_space_is_frozen_equal_to_its_copy_and_keeps_its_order():
    assert pickle.loads(pickle.dumps(TREE)) == TREE
    assert list(pickle.loads(pickle.dumps(TREE))) == list(TREE)
    assert TREE.pin(TREE.smallest(), free="op") != TREE
    with pytest.raises(AttributeError, match="frozen"):
        TREE._size = 0


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"depht": 1}, "'depht'.*did you mean 'depth'"),
        ({"depth": 4, "op.1": "dws"}, "depth must be one of 1, 2, 3; got 4"),
        ({"depth": True, "op.1": "dws"}, "depth must be one of 1, 2, 3; got True"),
        ({"depth": [1], "op.1": "dws"}, "depth must be one of"),
        ({"depth": 1}, r"'op\.1' is missing"),
    ],
)
def test_a_wrong_genotype_is_refused_with_its_dimension_and_the_options(values, match):
    with pytest.raises(SpaceError, match=match):
        TREE.canonical(values)


def test_options_come_back_in_the_type_they_were_declared_with():
    space = Space({"ratio": Choice((0.5, 1))})
    assert type(space.canonical({"ratio": 1.0})["ratio"]) is int
    assert space.canonical(Genotype.from_json('{"ratio": 1.0}')).key == space.largest().key


@pytest.mark.parametrize("value", ["1", "1111", "000", "12 ", "11x", 111, None])
def test_a_wrong_mask_is_refused(value):
    with pytest.raises(SpaceError, match="a mask of 3 digits"):
        Space({"m": Mask(3)}).canonical({"m": value})


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Choice(()), "at least one option"),
        (lambda: Choice((1, 1.0)), "distinct"),
        (lambda: Choice((48, 32)), "increasing order"),
        (lambda: Choice((True,)), "finite number"),
        (lambda: Choice((float("nan"),)), "finite number"),
        (lambda: Mask(0), "length"),
        (lambda: Mask(3, 4), "minimum"),
        (lambda: Space({"a b": Choice((1,))}), "'a b'"),
        (lambda: Space({"a.": Choice((1,))}), "dots"),
        (lambda: Space({"a": Choice((1,))}, {"a": ("b", {1})}), "'b'"),
        (lambda: Space({"a": Choice((1,))}, {"b": ("a", {1})}), "'b'"),
        (lambda: Space({"a": Choice((1,)), "b": Choice((1,))}, {"a": ("b", {2})}), "must name a value of b, one of 1"),
        (lambda: Space({"a": Choice((1,)), "b": Mask(2)}, {"a": ("b", {"11"})}), "mask 'b'"),
        (
            lambda: Space({"a": Choice((1,)), "b": Choice((1,))}, {"a": ("b", {1}), "b": ("a", {1})}),
            "a cycle; got one among a, b",
        ),
        (lambda: Space({"a": Choice((1,))}, {"a": ("a", {1})}), "cycle"),
    ],
)
def test_a_space_that_contradicts_itself_is_refused(build, match):
    with pytest.raises(SpaceError, match=match):
        build()
