import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimgen.errors import BudgetError, RecipeError
from slimgen.search import Budget, Choice, Mask, Objective, Space, cheapest, require_reachable

CHAIN = Space({f"c{i}": Choice((16, 24, 32, 48)) for i in range(6)})


def chain_costs(genotype):
    widths = [3, *genotype.values(), 3]
    macs = 9 * sum(a * b for a, b in itertools.pairwise(widths))
    return {"macs": macs, "params": macs + sum(widths[1:]), "bytes": 4 * (macs + sum(widths[1:]))}


def test_a_budget_allows_what_is_at_its_limits():
    budget = Budget(macs=100, params=10)
    assert budget.allows({"macs": 100, "params": 10, "bytes": 10**9})
    assert not budget.allows({"macs": 101, "params": 10})
    assert not budget.allows({"macs": math.nan, "params": 10})
    assert budget.excess({"macs": 130, "params": 10}) == {"macs": 30}
    assert Budget().allows({})
    with pytest.raises(BudgetError, match="params is limited but was not measured"):
        budget.allows({"macs": 1})


@pytest.mark.parametrize("limit", [0, -1, math.nan, math.inf, True, "1e9"])
def test_a_limit_that_is_not_a_positive_number_is_refused(limit):
    with pytest.raises(BudgetError, match="budget of macs must be a positive number"):
        Budget(macs=limit)


def test_fitness_is_larger_for_better_and_worst_for_what_is_not_finite():
    fid, miou = Objective("fid", "min"), Objective("miou", "max")
    assert fid.better({"fid": 10}, {"fid": 20})
    assert not fid.better({"fid": 10}, {"fid": 10})
    assert miou.better({"miou": 0.5}, {"miou": 0.4})
    for worst in (math.nan, math.inf, -math.inf):
        assert fid.fitness({"fid": worst}) == miou.fitness({"miou": worst}) == -math.inf
    with pytest.raises(RecipeError, match="'fid' was not measured; did you mean 'fd'"):
        fid.fitness({"fd": 1})
    with pytest.raises(RecipeError, match="min or max"):
        Objective("fid", "low")


def test_the_cheapest_of_a_monotone_space_is_its_smallest():
    assert cheapest(CHAIN, chain_costs, "macs") == (CHAIN.smallest(), 9 * (3 * 16 + 5 * 16 * 16 + 16 * 3))


@given(st.integers(0, 10**6))
def test_the_cheapest_of_a_separable_tree_is_the_minimum_over_all_genotypes(seed):
    rng = random.Random(seed)
    dimensions = {"path": Choice(("a", "b", "c")), "op": Choice(("x", "y")), "deep": Choice((1, 2))}
    dimensions |= {f"{path}{i}": Choice((1, 2, 3)) for path in "abc" for i in range(2)}
    conditions = {name: ("path", {name[0]}) for name in dimensions if name[-1].isdigit()}
    space = Space(dimensions, {**conditions, "deep": ("op", {"x"})})
    price = {(name, option): rng.randrange(100) for name, choice in space.items() for option in choice.options}

    def costs(genotype):
        return {"macs": sum(price[name, genotype[name]] for name in space.active(genotype))}

    genotype, least = cheapest(space, costs, "macs")
    assert least == costs(genotype)["macs"] == min(costs(other)["macs"] for other in space.enumerate())


def test_a_cost_whose_smallest_option_is_not_the_cheapest_is_still_found():
    space = Space({"kind": Choice(("one", "two")), "width": Choice((1, 2)), "m": Mask(4)}, {"width": ("kind", {"two"})})
    costs = lambda g: {"macs": (100 if g["kind"] == "one" else 10 * g["width"]) + g["m"].count("1")}  # noqa: E731
    assert cheapest(space, costs, "macs")[1] == 11
    assert require_reachable(space, costs, Budget(macs=11))["kind"] == "two"


def test_an_unreachable_budget_names_the_smallest_cost_and_the_limit():
    least = chain_costs(CHAIN.smallest())["macs"]
    assert require_reachable(CHAIN, chain_costs, Budget(macs=least)) == CHAIN.smallest()
    with pytest.raises(BudgetError) as error:
        require_reachable(CHAIN, chain_costs, Budget(macs=least - 1))
    for part in (f"{least:,} macs", f"{least - 1:,}", "raise budget.macs"):
        assert part in str(error.value)


def test_limits_that_can_only_be_met_one_at_a_time_are_refused():
    space = Space({"c": Choice((1, 2, 3))})
    costs = lambda g: {"macs": g["c"], "latency_ms": 4.0 - g["c"]}  # noqa: E731
    with pytest.raises(BudgetError, match="all limits must be met at once"):
        require_reachable(space, costs, Budget(macs=1, latency_ms=1.5))
    assert require_reachable(space, costs, Budget(macs=2, latency_ms=2.5))["c"] == 2
