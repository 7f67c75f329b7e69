"""Random genotypes of a given size or cost."""

import random
from collections.abc import Callable, Mapping

from slimgen.errors import BudgetError, RunError
from slimgen.search import Budget, Feasible, Genotype, Space, require_reachable

_TRIES = 100_000
_DRAWS, _RARE = 20_000, 200
NEARLY = 0.8  # the least share of the budget that counts as nearly all of it


def alike(
    draw: Callable[[random.Random], Genotype],
    costs: Callable[[Genotype], Mapping[str, float]],
    params: float,
    tolerance: float,
    count: int,
    seed: str,
    budget: Budget | None = None,
) -> list[Genotype]:
    """Return distinct random genotypes with about `params` parameters, within any budget; RunError if too few."""
    found: dict[Genotype, None] = {}
    for number in range(_TRIES):
        if len(found) == count:
            break
        genotype = draw(random.Random(f"{seed}/{number}"))
        cost = costs(genotype)
        if abs(cost["params"] / params - 1) <= tolerance and (budget is None or budget.allows(cost)):
            found[genotype] = None
    if len(found) < count:
        rule = f"{count} of {_TRIES:,} random architectures must have about {params:,.0f} parameters"
        raise RunError(rule, f"{len(found)}", "raise search.equal_size, or choose another size")
    return list(found)


def drawn_within(
    space: Space,
    costs: Callable[[Genotype], Mapping[str, float]],
    budget: Budget,
    count: int,
    seed: str,
    least: int | None = None,
) -> list[Genotype]:
    """Return distinct random genotypes that use nearly the whole budget, drawn uniformly from the space.

    If hardly any draw is within the budget, draws are moved by random steps towards an affordable genotype.

    Raises:
        BudgetError: fewer than `count` were found, or fewer than `least` where that is given.
    """

    def allows(genotype: Genotype) -> bool:
        return budget.allows(costs(genotype))

    part = Feasible(space, allows, require_reachable(space, costs, budget))
    found: dict[Genotype, None] = {}
    rare = False
    for number in range(_DRAWS):
        if len(found) == count:
            break
        rng = random.Random(f"{seed}/{number}")
        drawn = space.sample(rng)
        rare = rare or (number >= _RARE and not found)
        genotype = drawn if allows(drawn) else part.repair(drawn, rng) if rare else None
        # A genotype far below the budget would be too weak a rival.
        if genotype is not None and budget.used(costs(genotype)) >= (NEARLY if number < _DRAWS // 2 else 0):
            found[genotype] = None
    if len(found) < (count if least is None else least):
        rule = f"too few random genotypes within the budget: {count} are needed"
        raise BudgetError(rule, f"{len(found)} of {_DRAWS:,} draws", "lower finetune.random, or raise the budget")
    return list(found)
