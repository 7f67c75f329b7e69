import math
import random
import statistics

import pytest

from slimgen.search import Choice, DirectionalMutation, Evolution, Objective, Space, Trial
from slimgen.search.evolution import ReplacementGains

SPACE = Space({"a": Choice((1, 2, 3, 4)), "b": Choice((1, 2, 3)), "c": Choice(("x", "y"))})
INCUMBENT = SPACE.canonical({"a": 2, "b": 1, "c": "x"})


def at(**changes):
    return INCUMBENT.replace(changes)


def test_probabilities_are_those_of_equations_15_and_16():
    gains = ReplacementGains(SPACE, INCUMBENT, DirectionalMutation(epsilon=0.1))
    gains.credit(INCUMBENT, at(a=1), -3.0)
    gains.credit(INCUMBENT, at(a=3), 1.0)
    # RG = -3, 0, 1 and, unmeasured, their mean -2/3; the spread is 4, epsilon 0.4: RG_n = 0.4, 3.4, 4.4, 2.7333
    total = 0.4 + 3.4 + 4.4 + (3 - 2 / 3 + 0.4)
    expected = [0.4 / total, 3.4 / total, 4.4 / total, (3 - 2 / 3 + 0.4) / total]
    assert gains.probabilities("a", INCUMBENT) == pytest.approx(expected)
    assert sum(gains.probabilities("a", INCUMBENT)) == pytest.approx(1)
    assert gains.probabilities("b", INCUMBENT) == [1 / 3] * 3


def test_the_gain_of_several_replacements_is_shared_and_later_gains_are_averaged():
    gains = ReplacementGains(SPACE, INCUMBENT, DirectionalMutation())
    gains.credit(INCUMBENT, at(a=3, b=2), 4.0)
    assert gains.gain("a", 3) == 2.0
    assert gains.gain("b", 2) == 2.0
    gains.credit(INCUMBENT, at(a=3), 1.0)
    assert gains.gain("a", 3) == 1.5
    assert gains.gain("a", 4) is None
    assert gains.gain("a", 2) == 0.0


def test_a_gain_over_another_option_is_put_on_the_incumbents_scale():
    gains = ReplacementGains(SPACE, INCUMBENT, DirectionalMutation())
    gains.credit(INCUMBENT, at(a=3), 5.0)
    gains.credit(at(a=3), at(a=4), -1.0)  # one worse than what is 5 better than the incumbent
    assert gains.gain("a", 4) == 4.0


def test_a_failed_child_counts_as_the_worst_known_and_a_failed_parent_not_at_all():
    gains = ReplacementGains(SPACE, INCUMBENT, DirectionalMutation())
    gains.credit(INCUMBENT, at(a=3), -2.0)
    gains.credit(INCUMBENT, at(a=4), -math.inf)
    gains.credit(at(a=1), INCUMBENT, math.inf)
    gains.credit(at(b=2), at(b=3), math.nan)
    assert gains.gain("a", 4) == -2.0
    assert gains.gain("a", 1) is None
    assert gains.gain("b", 3) is None


def test_a_dimension_that_a_replacement_activates_gets_no_credit():
    space = Space({"p": Choice((1, 2)), "q": Choice((1, 2)), "r": Choice((1, 2))}, {"q": ("p", {2})})
    before = space.canonical({"p": 1, "r": 1})
    gains = ReplacementGains(space, before, DirectionalMutation())
    gains.credit(before, space.canonical({"p": 2, "q": 2, "r": 1}), 6.0)
    assert gains.gain("p", 2) == 6.0
    assert gains.gain("q", 2) is None


def landscape(seed, dimensions=10, options=7):
    rng = random.Random(seed)
    space = Space({f"l{i}": Choice(tuple(range(options))) for i in range(dimensions)})
    worth = {name: [rng.random() for _ in range(options)] for name in space}
    return space, worth


def evaluations_to_the_optimum(seed, direction):
    space, worth = landscape(seed)
    optimum = sum(max(values) for values in worth.values())
    searcher = Evolution(space, Objective("q", "max"), lambda genotype: True, 30, 8, 0.2, direction=direction)
    told = 0
    while searcher.best is None or searcher.best.quality["q"] < optimum - 1e-9:
        asked = searcher.ask(random.Random(f"{seed}/{told}"))
        searcher.tell([Trial(g, {}, {"q": sum(worth[name][g[name]] for name in g)}) for g in asked])
        told += len(asked)
    return told


def test_directional_mutation_reaches_the_optimum_of_a_separable_landscape_in_fewer_evaluations():
    directed = statistics.median(evaluations_to_the_optimum(seed, DirectionalMutation()) for seed in range(15))
    plain = statistics.median(evaluations_to_the_optimum(seed, None) for seed in range(15))
    assert directed < 0.9 * plain


def test_the_single_replacements_of_the_incumbent_are_a_round_of_their_own_within_the_budget():
    space, worth = landscape(3, dimensions=6)
    allows = lambda genotype: sum(genotype.values()) <= 12  # noqa: E731
    searcher = Evolution(space, Objective("q", "max"), allows, 20, 5, 0.2, direction=DirectionalMutation())

    def tell(genotypes):
        searcher.tell([Trial(g, {}, {"q": sum(worth[name][g[name]] for name in g)}) for g in genotypes])

    first = searcher.ask(random.Random(0))
    tell(first)
    incumbent = searcher.best.genotype
    second = searcher.ask(random.Random(1))
    assert set(second) == {n for n in space.neighbours(incumbent) if allows(n) and n not in first}
    tell(second)
    for neighbour in second:
        (name,) = (name for name in space if neighbour[name] != incumbent[name])
        gain = worth[name][neighbour[name]] - worth[name][incumbent[name]]
        assert searcher.gains.gain(name, neighbour[name]) == pytest.approx(gain)
    assert len(searcher.ask(random.Random(2))) == 20
