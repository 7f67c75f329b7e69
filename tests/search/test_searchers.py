import random
import statistics

import pytest

from slimgen.errors import RecipeError
from slimgen.search import (
    Budget,
    Choice,
    DirectionalMutation,
    Evolution,
    Exhaustive,
    Feasible,
    Mask,
    Objective,
    RandomSearch,
    Space,
    Trial,
    pareto,
    require_reachable,
)

FID = Objective("fid", "min")
WIDTHS = Space({f"c{i}": Choice((16, 24, 32, 48, 64)) for i in range(12)})
TREE = Space(
    {
        "path": Choice(("low", "middle", "high")),
        **{f"{path}.op{i}": Choice(("dws", "conv", "res")) for path in ("low", "middle", "high") for i in range(3)},
        "stem": Choice((8, 16, 32)),
    },
    {f"{path}.op{i}": ("path", {path}) for path in ("low", "middle", "high") for i in range(3)},
)
MASKS = Space({"a": Mask(12), "b": Mask(20, 2), "c": Choice((1, 2))})
SIZES = {"dws": 1, "conv": 9, "res": 18, "low": 0, "middle": 5, "high": 10}


def costs(genotype):
    total = 1.0
    for value in genotype.values():
        if isinstance(value, str):
            total += SIZES[value] if value in SIZES else value.count("1")
        else:
            total += value * value
    return {"macs": total}


def measured(genotypes):
    """A quality that is a fixed function of the genotype, rough enough to have no ties."""
    return [Trial(g, costs(g), {"fid": random.Random(g.key).random() + 50 / costs(g)["macs"]}) for g in genotypes]


def limited(space, part):
    """A budget this part of the way from the smallest to the largest cost, as a searcher takes it, and its anchor."""
    least, most = costs(space.smallest())["macs"], costs(space.largest())["macs"]
    return within(space, least + part * (most - least))


def within(space, macs):
    budget = Budget(macs=macs)
    return lambda genotype: budget.allows(costs(genotype)), require_reachable(space, costs, budget)


SEARCHERS = {
    "random": lambda space, allows, anchor: RandomSearch(space, FID, allows, 16, anchor),
    "exhaustive": lambda space, allows, anchor: Exhaustive(space, FID, allows, 16),
    "evolution": lambda space, allows, anchor: Evolution(space, FID, allows, 16, 4, 0.2, anchor=anchor),
    "directional": lambda space, allows, anchor: Evolution(
        space, FID, allows, 16, 4, 0.2, direction=DirectionalMutation(), anchor=anchor
    ),
}
every_searcher = pytest.mark.parametrize("make", SEARCHERS.values(), ids=SEARCHERS)
every_space = pytest.mark.parametrize("space", [WIDTHS, TREE, MASKS], ids=["widths", "tree", "masks"])


def rounds_of(searcher, most):
    for number in range(most):
        asked = searcher.ask(random.Random(number))
        if not asked:
            return
        yield asked
        searcher.tell(measured(asked))


@every_searcher
@every_space
def test_every_question_is_new_within_the_budget_and_canonical(make, space):
    allows, anchor = limited(space, 0.3)
    searcher, seen = make(space, allows, anchor), []
    for asked in rounds_of(searcher, 8):
        assert all(allows(genotype) for genotype in asked)
        for genotype in asked:
            space.check(genotype)
        seen += asked
    assert len(seen) == len(set(seen))
    assert searcher.best == min(measured(seen), key=lambda trial: trial.quality["fid"])


@every_searcher
@pytest.mark.parametrize("part", [1, 0.4])
def test_an_exhausted_space_ends_the_search_after_every_allowed_genotype_was_asked(make, part):
    space = TREE.pin(TREE.largest(), free=("path", "low", "high"))
    allows, anchor = limited(space, part)
    asked = [genotype for batch in rounds_of(make(space, allows, anchor), 1000) for genotype in batch]
    assert set(asked) == {genotype for genotype in space.enumerate() if allows(genotype)}
    assert len(asked) == len(set(asked))


@every_searcher
@pytest.mark.parametrize("space", [Space({}), WIDTHS.pin(WIDTHS.smallest()), Space({"m": Mask(3, 3)})])
def test_a_space_of_one_point_ends_after_one_question(make, space):
    assert list(rounds_of(make(space, lambda genotype: True, space.smallest()), 5)) == [[space.smallest()]]


@every_searcher
def test_a_budget_that_allows_nothing_ends_at_once(make):
    space = TREE.pin(TREE.largest(), free=("path", "low"))
    assert make(space, lambda genotype: False, None).ask(random.Random(0)) == []


@every_searcher
@every_space
def test_the_same_answers_lead_to_the_same_questions(make, space):
    allows, anchor = limited(space, 0.5)
    first = [list(asked) for asked in rounds_of(make(space, allows, anchor), 5)]
    again = [list(asked) for asked in rounds_of(make(space, allows, anchor), 5)]
    assert again == first
    assert len(first) == 5


@every_searcher
def test_asking_twice_gives_the_same_answer_twice(make):
    searcher = make(TREE, lambda genotype: True, None)
    for number in range(4):
        asked = searcher.ask(random.Random(number))
        assert searcher.ask(random.Random(number)) == asked
        searcher.tell(measured(asked))


@every_searcher
def test_a_search_survives_qualities_that_are_not_finite(make):
    searcher = make(TREE, lambda genotype: True, None)
    for number in range(5):
        asked = searcher.ask(random.Random(number))
        searcher.tell([Trial(genotype, {}, {"fid": float("nan")}) for genotype in asked])
        assert searcher.best is None
    asked = searcher.ask(random.Random(5))
    searcher.tell(measured(asked))
    assert searcher.best in measured(asked)


@pytest.mark.parametrize("direction", [None, DirectionalMutation()])
def test_the_elite_is_the_best_of_all_trials_without_duplicates(direction):
    allows, anchor = limited(WIDTHS, 0.3)
    searcher = Evolution(WIDTHS, FID, allows, 20, 6, 0.2, direction=direction, anchor=anchor)
    told = []
    for asked in rounds_of(searcher, 12):
        if told:
            assert searcher.elite == sorted(told, key=lambda trial: trial.quality["fid"])[:6]
            assert len({trial.genotype for trial in searcher.elite}) == 6
        told += measured(asked)
    searcher.tell(told)
    assert len({trial.genotype for trial in searcher.elite}) == len(searcher.elite) == 6


def test_half_of_a_generation_mixes_its_parents_and_half_mutates_them():
    searcher = Evolution(WIDTHS, FID, lambda genotype: True, 40, 2, 0.0)
    searcher.tell(measured(searcher.ask(random.Random(0))))
    a, b = (trial.genotype for trial in searcher.elite)
    children = searcher.ask(random.Random(1))
    mixed = [child for child in children if all(child[name] in (a[name], b[name]) for name in child)]
    near = [child for child in children if min(sum(p[n] != child[n] for n in child) for p in (a, b)) == 1]
    assert len(children) == 40
    assert len(set(children[:20]) & set(mixed)) == 20
    assert len(set(children[20:]) & set(near)) == 20


def test_all_crossover_or_all_mutation_is_possible():
    for crossover in (0, 1):
        searcher = Evolution(WIDTHS, FID, lambda genotype: True, 10, 4, 0.1, crossover=crossover)
        assert [len(asked) for asked in rounds_of(searcher, 4)] == [10] * 4


@pytest.mark.parametrize(
    "space",
    [WIDTHS, Space({"a": Mask(64), "b": Mask(256, 8)}), TREE | MASKS.prefixed("other")],
    ids=["widths", "masks", "both"],
)
def test_genotypes_within_an_eighth_of_the_cost_take_few_calls_and_differ(space):
    limit = costs(space.largest())["macs"] / 8
    allows, anchor = within(space, limit)
    calls = 0

    def counted(genotype):
        nonlocal calls
        calls += 1
        return allows(genotype)

    drawn = Feasible(space, counted, anchor).sample(random.Random(0), set(), 100)
    assert len(set(drawn)) == 100
    assert all(map(allows, drawn))
    assert calls < 100 * 25
    spent = [costs(genotype)["macs"] for genotype in drawn]
    assert statistics.median(spent) > 0.7 * limit


def test_repair_stops_at_the_edge_of_the_budget():
    limit = costs(WIDTHS.largest())["macs"] / 4
    allows, anchor = within(WIDTHS, limit)
    feasible = Feasible(WIDTHS, allows, anchor)
    for seed in range(50):
        repaired = feasible.repair(WIDTHS.largest(), random.Random(seed))
        assert limit - (64**2 - 48**2) < costs(repaired)["macs"] <= limit


def test_repair_across_conditions_stays_in_the_space():
    # "dws" is what operators rest at, but no option here: a path in passing must not wake an operator at rest
    space = TREE.narrow(dict.fromkeys(("low.", "middle.", "high."), ("conv", "res")))
    anchor = space.canonical({"path": "high", **{f"high.op{i}": "conv" for i in range(3)}, "stem": 8})
    visited = []
    feasible = Feasible(space, lambda genotype: bool(visited.append(genotype)) or genotype == anchor, anchor)
    for seed in range(100):
        rng = random.Random(seed)
        assert feasible.repair(space.sample(rng), rng) == anchor
    for genotype in visited:
        space.check(genotype)


def test_exhaustive_search_finds_the_front_of_the_space():
    space = TREE.pin(TREE.smallest(), free=("path", "low", "stem"))
    searcher = Exhaustive(space, FID, lambda genotype: True, 7)
    told = [trial for asked in rounds_of(searcher, 100) for trial in measured(asked)]
    assert pareto(told, FID) == pareto(measured(space.enumerate()), FID)


def test_exhaustive_search_takes_the_genotypes_it_is_given_in_their_order_and_only_as_needed():
    ordered = sorted(WIDTHS.pin(WIDTHS.smallest(), free=("c8", "c9")).enumerate(), key=lambda g: -costs(g)["macs"])
    taken = []

    def given():
        for genotype in ordered:
            taken.append(genotype)
            yield genotype

    searcher = Exhaustive(WIDTHS, FID, lambda genotype: genotype["c8"] != 64, 4, genotypes=given())
    first = searcher.ask(random.Random(0))
    assert len(taken) < len(ordered)
    searcher.tell(measured(first))
    rest = [genotype for asked in rounds_of(searcher, 100) for genotype in asked]
    assert [*first, *rest] == [genotype for genotype in ordered if genotype["c8"] != 64]


def test_a_generation_of_the_size_of_gan_compression_is_fifty_crossed_and_fifty_mutants_of_25_parents():
    searcher = Evolution(WIDTHS, FID, lambda genotype: True, 100, 25, 0.0)
    told = []
    for number in range(3):
        asked = searcher.ask(random.Random(number))
        assert len(set(asked)) == 100
        if told:
            parents = [trial.genotype for trial in searcher.elite]
            # Of all that was ever told, the best 25 are parents; what they were born from stays if it is better.
            assert parents == [t.genotype for t in sorted(told, key=lambda trial: trial.quality["fid"])[:25]]
            pairs = [(a, b) for a in parents for b in parents if a is not b]
            assert all(any(all(c[n] in (a[n], b[n]) for n in c) for a, b in pairs) for c in asked[:50])
            assert all(any(sum(p[n] != c[n] for n in c) == 1 for p in parents) for c in asked[50:])
        told += measured(asked)
        searcher.tell(measured(asked))


def incomplete(genotypes, fid):
    return [Trial(genotype, costs(genotype), {"fid": fid}, complete=False) for genotype in genotypes]


def test_the_rival_is_the_worst_of_a_full_elite():
    searcher = Evolution(WIDTHS, FID, lambda genotype: True, 4, 6, 0.2)
    assert searcher.rival is None
    searcher.tell(measured(searcher.ask(random.Random(0))))
    assert searcher.rival is None
    searcher.tell(measured(searcher.ask(random.Random(1))))
    assert searcher.rival == searcher.elite[5]
    other = RandomSearch(WIDTHS, FID, lambda genotype: True, 4)
    other.tell(measured(other.ask(random.Random(0))))
    assert other.rival is None


def test_an_elite_holds_no_incomplete_trial_before_the_complete_ones_however_good_its_estimate():
    searcher = Evolution(WIDTHS, FID, lambda genotype: True, 6, 6, 0.2)
    asked = searcher.ask(random.Random(0))
    searcher.tell([*incomplete(asked[:3], -1e9), *measured(asked[3:])])
    assert [trial.complete for trial in searcher.elite] == [True] * 3 + [False] * 3
    assert searcher.rival is None
    assert searcher.best in measured(asked[3:])
    searcher.tell(measured(searcher.ask(random.Random(1))))
    assert all(trial.complete for trial in searcher.elite)
    assert searcher.rival == searcher.elite[-1]


def test_there_is_no_rival_without_a_finite_quality():
    searcher = Evolution(WIDTHS, FID, lambda genotype: True, 4, 4, 0.2)
    searcher.tell([Trial(genotype, {}, {"fid": float("inf")}) for genotype in searcher.ask(random.Random(0))])
    assert searcher.rival is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: RandomSearch(TREE, FID, lambda genotype: True, 0),
        lambda: Exhaustive(TREE, FID, lambda genotype: True, 0),
        lambda: Evolution(TREE, FID, lambda genotype: True, 0, 1, 0.1),
        lambda: Evolution(TREE, FID, lambda genotype: True, 4, 0, 0.1),
        lambda: Evolution(TREE, FID, lambda genotype: True, 4, 1, 1.1),
        lambda: Evolution(TREE, FID, lambda genotype: True, 4, 1, 0.1, crossover=-1),
        lambda: DirectionalMutation(epsilon=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(build):
    with pytest.raises(RecipeError):
        build()
