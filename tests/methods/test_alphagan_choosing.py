"""The most probable architecture within a budget, and random ones of a size."""

import itertools
import math
import random

import pytest

from slimgen.errors import BudgetError, RunError
from slimgen.methods.drawn import alike
from slimgen.methods.likeliest import likeliest
from slimgen.nets.alphagan.description import SPACE, AlphaOptions
from slimgen.search import Budget, Choice, Genotype, Space


def additive(space: Space, seed: int):
    """Costs and logarithms of probabilities at random."""
    rng = random.Random(seed)
    table = {(name, o): (rng.randrange(9), rng.randrange(9)) for name, choice in space.items() for o in choice.options}
    logs = {}
    for name, choice in space.items():
        weights = [rng.random() for _ in choice.options]
        logs[name] = {o: math.log(w / sum(weights)) for o, w in zip(choice.options, weights, strict=True)}

    def costs(genotype):
        pairs = [table[item] for item in genotype.items()]
        macs, params = (5 + sum(side) for side in zip(*pairs, strict=True))
        return {"macs": float(macs), "params": float(params), "bytes": 4.0 * params}

    return costs, logs


def nats(logs, genotype) -> float:
    return sum(logs[name][genotype[name]] for name in logs)


@pytest.mark.parametrize("seed", range(12))
def test_the_most_probable_architecture_equals_that_of_an_exhaustive_search(seed):
    space = Space({f"c{number}": Choice(tuple("abcd"[: 2 + number % 3])) for number in range(5)})
    costs, logs = additive(space, seed)
    every = [
        Genotype(dict(zip(space, o, strict=True))) for o in itertools.product(*(c.options for c in space.values()))
    ]
    middle = sorted(every, key=lambda g: costs(g)["macs"])[len(every) // 4]
    for kinds in (("macs",), ("params",), ("macs", "params"), ("macs", "bytes"), ()):
        limits = {kind: costs(middle)[kind] for kind in kinds}
        allowed = [genotype for genotype in every if Budget(**limits).allows(costs(genotype))]
        found = likeliest(space, logs, costs, limits)
        assert found in allowed
        assert nats(logs, found) == pytest.approx(max(nats(logs, genotype) for genotype in allowed), rel=1e-12)


def alphagan_costs(genotype):
    cost = AlphaOptions(genotype=genotype, channels=64).cost(32, 32)
    return {name: float(value) for name, value in cost.as_dict("exact").items()}


def test_in_the_whole_space_the_search_takes_seconds_and_a_budget_never_raises_the_probability():
    rng = random.Random(1)
    logs = {name: {o: math.log(rng.random()) for o in choice.options} for name, choice in SPACE.items()}
    free = likeliest(SPACE, logs, alphagan_costs, {})
    assert all(logs[name][free[name]] == max(logs[name].values()) for name in SPACE)
    least, most = alphagan_costs(SPACE.smallest()), alphagan_costs(free)
    before = nats(logs, free)
    for share in (0.5, 0.1):
        limits = {kind: least[kind] + share * (most[kind] - least[kind]) for kind in ("macs", "params")}
        found = likeliest(SPACE, logs, alphagan_costs, limits)
        assert Budget(**limits).allows(alphagan_costs(found))
        assert nats(logs, found) < before
        before = nats(logs, found)


def test_a_budget_below_the_smallest_architecture_names_it():
    logs = {name: dict.fromkeys(choice.options, 0.0) for name, choice in SPACE.items()}
    least = alphagan_costs(SPACE.smallest())["params"]
    with pytest.raises(BudgetError, match=f"params {least:,.0f}"):
        likeliest(SPACE, logs, alphagan_costs, {"params": least - 1})
    assert alphagan_costs(likeliest(SPACE, logs, alphagan_costs, {"params": least}))["params"] == least


def test_random_architectures_have_the_given_size_and_are_reproducible():
    budget = Budget(params=310_000)
    found = alike(SPACE.sample, alphagan_costs, 300_000, 0.1, 5, "3", budget)
    assert len(set(found)) == 5
    assert all(270_000 <= alphagan_costs(genotype)["params"] <= 310_000 for genotype in found)
    assert found[:2] == alike(SPACE.sample, alphagan_costs, 300_000, 0.1, 2, "3", budget)
    assert found != alike(SPACE.sample, alphagan_costs, 300_000, 0.1, 5, "4", budget)


def test_a_size_that_no_architecture_has_is_an_error():
    few = Space({name: Choice(choice.options[:1]) for name, choice in SPACE.items()})
    with pytest.raises(RunError, match=r"1 of 100,000 random architectures.*equal_size"):
        alike(few.sample, lambda genotype: {"params": 5.0}, 10, 0.1, 1, "0")
