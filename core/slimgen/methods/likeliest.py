"""The most probable architecture of a relaxation, alone or within a budget."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from slimgen.errors import BudgetError
from slimgen.methods.relaxation_trace import Logs
from slimgen.search import Choice, Costs, Genotype, Space, Value, cheapest, plain

_ROUNDED = {"latency_ms": 1 - 1e-9}  # share of a limit that absorbs rounding in sums of fractions


class _Partial(NamedTuple):
    """The first choices made: their costs beyond the smallest options', and their negative log probability in nats."""

    costs: tuple[float, ...]
    improbability: float
    options: tuple[Value, ...]


def likeliest(space: Space, logs: Logs, costs: Costs, limits: Mapping[str, float]) -> Genotype:
    """Return the most probable genotype within the limits, exactly.

    The logarithm of a probability is a sum over choices, and so are the costs, counted or predicted piece by piece.
    Choices are therefore made one after the other, keeping only the partial genotypes that no other undercuts in every
    cost and in probability (Nemhauser and Ullmann 1969).

    Args:
        space: a space of choices.
        logs: log probabilities of the options, for each choice with at least two.
        costs: the costs of a genotype, by kind; sums over the choices.
        limits: the limits by kind; may be empty.

    Raises:
        BudgetError: no genotype is within the limits.
    """
    base, kinds = space.smallest(), tuple(limits)
    least = costs(base)
    rest = [limits[kind] * _ROUNDED.get(kind, 1) - least[kind] for kind in kinds]
    steps: list[list[_Partial]] = []
    for name, dimension in space.items():
        assert isinstance(dimension, Choice)
        own = []
        for option in dimension.options:
            cost = costs(base.replace({name: option}))
            improbability = -logs[name][option] if name in logs else 0.0
            own.append(_Partial(tuple(cost[kind] - least[kind] for kind in kinds), improbability, (option,)))
        steps.append(own)
    found = [_Partial((0.0,) * len(kinds), 0.0, ())]
    for index, own in enumerate(steps):
        later = steps[index + 1 :]
        allowed = [
            limit - sum(min(each.costs[place] for each in step) for step in later) for place, limit in enumerate(rest)
        ]
        longer = (
            _Partial(
                tuple(a + b for a, b in zip(one.costs, other.costs, strict=True)),
                one.improbability + other.improbability,
                one.options + other.options,
            )
            for one in found
            for other in own
        )
        within = (one for one in longer if all(a <= b for a, b in zip(one.costs, allowed, strict=True)))
        found = _undominated(list(within))
    if not found:
        smallest = {kind: cheapest(space, costs, kind)[1] for kind in limits}
        least_costs = ", ".join(f"{kind} {plain(number)}" for kind, number in smallest.items())
        limited = ", ".join(f"{kind} {plain(number)}" for kind, number in limits.items())
        hint = f"the smallest are {least_costs}, each by itself"
        raise BudgetError("no architecture is within the budget", limited, hint)
    best = min(found, key=lambda one: one.improbability)
    return Genotype(dict(zip(space, best.options, strict=True)))


def _undominated(partials: list[_Partial]) -> list[_Partial]:
    """Return the partials that no other undercuts or equals in every cost and in improbability; of equals the first."""
    partials.sort(key=lambda each: each[:2])
    rows = np.array([(*one.costs[1:], one.improbability) for one in partials])
    # Holds the kept partials; sorting ensures that they have no more of the first cost.
    front, kept = np.empty_like(rows), list[_Partial]()
    for one, row in zip(partials, rows, strict=True):
        if not (front[: len(kept)] <= row).all(axis=1).any():
            front[len(kept)] = row
            kept.append(one)
    return kept
