"""Millions of genotypes at once: a space of numbers as columns of arrays, and the part of it that fills a budget.

Needs numpy, which the rest of the package does without: import it from here.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from slimgen.errors import BudgetError
from slimgen.search.budget import Budget
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, SpaceError, Value
from slimgen.search.space import Space

Numbers = NDArray[np.int64] | NDArray[np.float64]
ColumnCosts = Callable[[Mapping[str, Numbers]], Mapping[str, Numbers]]
"""Columns of choices to columns of costs by kind, row by row."""


class Grid:
    """All genotypes of a space of numbers as rows, in the order of `Space.enumerate`, none of which need be built.

    Raises:
        SpaceError: a mask, an option that is text, or a condition.
    """

    def __init__(self, space: Space) -> None:
        if space.conditions:
            raise SpaceError("a grid's dimensions hang on nothing", ", ".join(space.conditions), "pin their parents")
        options: dict[str, tuple[Value, ...]] = {}
        for name, dimension in space.items():
            if not isinstance(dimension, Choice) or any(isinstance(option, str) for option in dimension.options):
                raise SpaceError(f"a grid is of choices of numbers, and {name} is none", dimension)
            options[name] = dimension.options
        self.space = space
        self._tables: dict[str, Numbers] = {name: _table(values) for name, values in options.items()}
        # Later names vary fastest: a name's option changes every `stride` rows.
        self._strides: dict[str, int] = {}
        stride = 1
        for name in reversed(options):
            self._strides[name] = stride
            stride *= len(options[name])
        self._options = options

    def __len__(self) -> int:
        return self.space.size

    def columns(self, start: int, stop: int) -> dict[str, Numbers]:
        """The genotypes from row `start` up to row `stop`: a column (stop - start,) for each name.

        Columns are int64 where all options are whole numbers, else float64.

        Raises:
            SpaceError: rows that the grid does not have.
        """
        if not 0 <= start <= stop <= len(self):
            raise SpaceError(f"this grid has the rows 0 to {len(self)}", f"{start} to {stop}")
        rows = np.arange(start, stop, dtype=np.int64)
        return {name: table[rows // self._strides[name] % len(table)] for name, table in self._tables.items()}

    def at(self, index: int) -> Genotype:
        """The genotype of one row, its values in their declared type; raises as `columns`."""
        if not 0 <= index < len(self):
            raise SpaceError(f"this grid has the rows 0 to {len(self) - 1}", index)
        options = self._options.items()
        return self.space.settle({n: values[int(index) // self._strides[n] % len(values)] for n, values in options})

    def band(self, costs: ColumnCosts, budget: Budget, low: float = 0.0, chunk: int = 1 << 15) -> NDArray[np.int64]:
        """The rows within a budget whose cost of the first limited kind is at least `low` of that limit.

        Networks far below the budget are rarely the best within it, so a band near the limit is what is worth
        evaluating. A cost of NaN is outside.

        Args:
            costs: of genotypes in columns.
            budget: the first of macs, params, bytes and latency_ms that is set orders.
            low: a share of that limit, 0 .. 1.
            chunk: rows costed at a time; few enough that their columns stay in the cache are fastest.

        Returns:
            Row numbers (M,), by decreasing cost of that kind, equal costs by increasing row.

        Raises:
            BudgetError: a budget without limits, a limited kind that was not counted, or a `low` outside of 0 .. 1.
        """
        if not budget.limits:
            raise BudgetError("a band lies below a limit", "a budget without limits")
        if not 0 <= low <= 1:
            raise BudgetError("the low edge of a band is a share of the limit, 0 to 1", low)
        first, limit = next(iter(budget.limits.items()))
        rows: list[NDArray[np.int64]] = []
        kept: list[Numbers] = []
        for start in range(0, len(self), max(1, chunk)):
            stop = min(start + max(1, chunk), len(self))
            counted = costs(self.columns(start, stop))
            within = np.ones(stop - start, dtype=np.bool_)
            for kind, most in budget.limits.items():
                if kind not in counted:
                    raise BudgetError(f"{kind} is limited but was not counted", None, f"counted: {', '.join(counted)}")
                within &= counted[kind] <= most
            within &= counted[first] >= low * limit
            rows.append(np.flatnonzero(within) + start)
            kept.append(counted[first][within])
        # Stable, and rows came in their order, so equal costs stay by row.
        order = np.argsort(-np.concatenate(kept), kind="stable")
        return np.concatenate(rows)[order].astype(np.int64, copy=False)


def _table(options: tuple[Value, ...]) -> Numbers:
    numbers = [float(option) for option in options]
    if all(math.isfinite(number) and number.is_integer() for number in numbers):
        return np.array([int(number) for number in numbers], dtype=np.int64)
    return np.array(numbers, dtype=np.float64)
