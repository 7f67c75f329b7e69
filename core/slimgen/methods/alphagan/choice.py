"""Reading an architecture off its probabilities: the most probable one, or the most probable within a budget."""

from bisect import bisect_right, insort
from collections.abc import Mapping
from typing import NamedTuple

from slimgen.errors import BudgetError
from slimgen.methods.relaxation_trace import Logs
from slimgen.search import Choice, Costs, Genotype, Space, Value, cheapest

BYTES = 4  # of a parameter


class _Partial(NamedTuple):
    """The first choices made: what they cost, beyond the smallest options, and how improbable they are, in nats."""

    macs: float
    params: float
    improbability: float
    options: tuple[Value, ...]


def likeliest(space: Space, logs: Logs, costs: Costs, limits: Mapping[str, float]) -> Genotype:
    """The most probable genotype within the limits, exactly.

    A probability is a product over choices, and so is its logarithm a sum, as costs are. So choices are made one after
    the other, and of all beginnings only those are kept that no other undercuts in every respect (Nemhauser and
    Ullmann 1969). `logs` are of each choice with at least two options; `limits` on `macs`, `params` and `bytes`, of
    which none must be there. Raises BudgetError where no genotype is within the limits.
    """
    base = space.smallest()
    least = costs(base)
    rest_macs = limits.get("macs", float("inf")) - least["macs"]
    rest_params = min(limits.get("params", float("inf")), limits.get("bytes", float("inf")) / BYTES) - least["params"]
    steps: list[list[tuple[Value, float, float, float]]] = []
    for name, dimension in space.items():
        assert isinstance(dimension, Choice)
        own = []
        for option in dimension.options:
            cost = costs(base.replace({name: option}))
            improbability = -logs[name][option] if name in logs else 0.0
            own.append((option, cost["macs"] - least["macs"], cost["params"] - least["params"], improbability))
        steps.append(own)
    found = [_Partial(0.0, 0.0, 0.0, ())]
    for index, own in enumerate(steps):
        later = steps[index + 1 :]
        allowed_macs = rest_macs - sum(min(step[1] for step in each) for each in later)
        allowed_params = rest_params - sum(min(step[2] for step in each) for each in later)
        longer = [
            _Partial(one.macs + macs, one.params + params, one.improbability + improbability, (*one.options, option))
            for one in found
            for option, macs, params, improbability in own
        ]
        found = _undominated([one for one in longer if one.macs <= allowed_macs and one.params <= allowed_params])
    if not found:
        smallest = {kind: cheapest(space, costs, kind)[1] for kind in limits}
        least_costs = ", ".join(f"{kind} {number:,.0f}" for kind, number in smallest.items())
        limited = ", ".join(f"{kind} {number:,.0f}" for kind, number in limits.items())
        hint = f"the least are {least_costs}, each by itself"
        raise BudgetError("an architecture must be within the budget", limited, hint)
    best = min(found, key=lambda one: one.improbability)
    return Genotype(dict(zip(space, best.options, strict=True)))


def _undominated(partials: list[_Partial]) -> list[_Partial]:
    """What no other undercuts or equals in operations, parameters and improbability; of equal ones the first."""
    kept: list[_Partial] = []
    # What of the ones with fewer operations is in the way: parameters rise and improbabilities fall.
    front: list[tuple[float, float]] = []
    for one in sorted(partials, key=lambda each: each[:3]):
        after = bisect_right(front, (one.params, float("inf")))
        if after and front[after - 1][1] <= one.improbability:
            continue
        kept.append(one)
        while after < len(front) and front[after][1] >= one.improbability:
            del front[after]
        if after and front[after - 1][0] == one.params:
            del front[after - 1]
        insort(front, (one.params, one.improbability))
    return kept
