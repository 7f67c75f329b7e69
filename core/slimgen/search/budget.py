"""The budget and the objective of a search, and whether a space can meet the budget."""

import itertools
import math
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from slimgen.errors import BudgetError, RecipeError, nearest
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

Costs = Callable[[Genotype], Mapping[str, float]]
_STARTS = 1024
_DESCENTS = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper limits on costs that are cheap to count; None means no limit.

    Multiply-accumulates (under the recipe's convention) and milliseconds are for one forward pass, bytes for the
    weights.

    Raises:
        BudgetError: a limit that is not a positive, finite number.
    """

    macs: float | None = None
    params: float | None = None
    bytes: float | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        for kind, limit in self.limits.items():
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if not number or not math.isfinite(limit) or limit <= 0:
                raise BudgetError(f"the budget of {kind} must be a positive number", repr(limit))

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by kind."""
        named = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {kind: limit for kind, limit in named.items() if limit is not None}

    def allows(self, costs: Mapping[str, float]) -> bool:
        """Return whether the costs are within every limit; NaN is not. Raises as `excess` does."""
        return not self.excess(costs)

    def used(self, costs: Mapping[str, float]) -> float:
        """Return the share of the tightest limit that the costs use: 1 is all of it; 1 too without limits."""
        return max((costs[kind] / limit for kind, limit in self.limits.items()), default=1.0)

    def excess(self, costs: Mapping[str, float]) -> dict[str, float]:
        """Return the excess over each exceeded limit, in its unit; empty if the costs are allowed.

        Raises:
            BudgetError: a limited kind is missing from `costs`.
        """
        exceeded = {}
        for kind, limit in self.limits.items():
            if kind not in costs:
                raise BudgetError(f"{kind} is limited but was not measured", None, f"measured: {', '.join(costs)}")
            if not costs[kind] <= limit:
                exceeded[kind] = costs[kind] - limit
        return exceeded


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric that a search improves, named as in a trial's quality."""

    metric: str
    goal: Literal["min", "max"] = "min"

    def __post_init__(self) -> None:
        if self.goal not in ("min", "max"):
            raise RecipeError("the goal of an objective must be min or max", repr(self.goal))

    def fitness(self, quality: Mapping[str, float]) -> float:
        """Return the metric, negated where smaller is better; -inf, the worst, for NaN and infinities.

        Raises:
            RecipeError: `quality` lacks the metric.
        """
        if self.metric not in quality:
            raise RecipeError(f"the objective {self.metric!r} was not measured", None, nearest(self.metric, quality))
        value = quality[self.metric]
        if not math.isfinite(value):
            return -math.inf
        return float(value) if self.goal == "max" else -float(value)

    def better(self, a: Mapping[str, float], b: Mapping[str, float]) -> bool:
        """Return whether quality `a` is strictly better than quality `b`."""
        return self.fitness(a) > self.fitness(b)


def cheapest(space: Space, costs: Costs, limit: str) -> tuple[Genotype, float]:
    """Return a genotype with the smallest cost of one kind that the space can reach, and that cost.

    This is coordinate descent, some hundred calls of `costs`, from the smallest genotype and from the smallest under
    every setting of the choices that conditions depend on. It is exact where the cost grows with every dimension or is
    a sum over dimensions.
    """
    return _least(space, lambda genotype: costs(genotype)[limit])


def require_reachable(space: Space, costs: Costs, budget: Budget) -> Genotype:
    """Return a genotype within the budget.

    Raises:
        BudgetError: there is none; the message names the smallest reachable cost and the limit.
    """
    smallest = space.smallest()
    if budget.allows(costs(smallest)):
        return smallest
    for kind, limit in budget.limits.items():
        genotype, least = cheapest(space, costs, kind)
        if not least <= limit:
            rule = f"the budget must be within reach, but the smallest network of this space has {plain(least)} {kind}"
            enough = plain(math.ceil(least * 1000) / 1000)
            hint = f"raise budget.{kind} to at least {enough}, or give the space smaller options"
            raise BudgetError(rule, f"a limit of {plain(limit)}", hint)
        if budget.allows(costs(genotype)):
            return genotype

    def over(genotype: Genotype) -> float:
        return sum(more / budget.limits[kind] for kind, more in budget.excess(costs(genotype)).items())

    genotype, least = _least(space, over)
    if least > 0:
        nearest_costs = ", ".join(f"{plain(costs(genotype)[kind])} {kind}" for kind in budget.limits)
        limits = ", ".join(f"{plain(limit)} {kind}" for kind, limit in budget.limits.items())
        rule = "all limits must be met at once; each alone is within reach, but the nearest network has"
        raise BudgetError(f"{rule} {nearest_costs}", f"limits of {limits}", "raise the limit that it exceeds")
    return genotype


def evenly(space: Space, allows: Callable[[Genotype], bool]) -> Genotype:
    """Return a large allowed genotype: from the smallest, each choice in turn goes up one option while it still fits.

    This assumes that whatever is smaller than an allowed genotype is allowed. If not even the smallest genotype is, it
    is returned all the same.
    """
    at = space.smallest()
    rising = {name: dimension for name, dimension in space.items() if isinstance(dimension, Choice)}
    while rising:
        for name, choice in list(rising.items()):
            place = choice.index(at[name]) + 1
            higher = space.settle({**at, name: choice.options[place]}) if place < len(choice.options) else at
            if higher == at or not allows(higher):
                del rising[name]
            else:
                at = higher
    return at


def _least(space: Space, cost: Callable[[Genotype], float]) -> tuple[Genotype, float]:
    known: dict[Genotype, float] = {}

    def counted(genotype: Genotype) -> float:
        if genotype not in known:
            value = cost(genotype)
            known[genotype] = math.inf if math.isnan(value) else value
        return known[genotype]

    starts = sorted(dict.fromkeys(_starts(space)), key=counted)
    # Parents are fixed at first: leaving a branch because another looks cheaper from here would miss its minimum.
    parents = {parent for parent, _ in space.conditions.values()}
    ends = [_descended(space, start, counted, parents) for start in starts[:_DESCENTS]]
    least = _descended(space, min(ends, key=counted), counted, frozenset())
    return least, counted(least)


def _descended(space: Space, start: Genotype, cost: Callable[[Genotype], float], held: Container[str]) -> Genotype:
    """Run coordinate descent over the choices that are not held, one after the other until none improves."""
    current, improved = start, True
    while improved:
        improved = False
        for name in space:
            options = [] if name in held else space.replacements(current, name)
            best = min(options, key=cost, default=current)
            if cost(best) < cost(current):
                current, improved = best, True
    return current


def _starts(space: Space) -> Iterator[Genotype]:
    """Yield the smallest genotype, then the smallest under each setting of the parents (one by one if many)."""
    smallest: dict[str, Value] = {name: dimension.smallest for name, dimension in space.items()}
    yield space.settle(dict(smallest))
    parents = dict.fromkeys(parent for parent, _ in space.conditions.values())
    options = {name: dimension.options for name in parents if isinstance(dimension := space[name], Choice)}
    if math.prod(len(values) for values in options.values()) <= _STARTS:
        for setting in itertools.product(*options.values()):
            yield space.settle({**smallest, **dict(zip(options, setting, strict=True))})
        return
    for name, values in options.items():
        for value in values:
            yield space.settle({**smallest, name: value})


def plain(number: float) -> str:
    """Return a cost or limit as text for messages: a whole number, or three decimals, or digits of a tiny one."""
    if number == int(number):
        return f"{number:,.0f}"
    return f"{number:,.3f}" if abs(number) >= 0.001 else f"{number:.3g}"
