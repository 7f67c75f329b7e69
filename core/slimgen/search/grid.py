"""Grids: spaces of numbers as columns of arrays, for costs of millions of genotypes at once.

It needs numpy, unlike the rest of the package, and so is not imported by `slimgen.search` itself.
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
"""A function from columns of choices to columns of costs by kind, row by row."""


class Grid:
    """All genotypes of a space of numbers as rows, in the order of `Space.enumerate`, without building any.

    Raises:
        SpaceError: a mask, an option that is text, or a condition.
    """

    def __init__(self, space: Space) -> None:
        if space.conditions:
            raise SpaceError("a grid must have no conditions", ", ".join(space.conditions), "pin their parents")
        options: dict[str, tuple[Value, ...]] = {}
        for name, dimension in space.items():
            if not isinstance(dimension, Choice) or any(isinstance(option, str) for option in dimension.options):
                raise SpaceError(f"every dimension of a grid must be a choice of numbers; {name} is not", dimension)
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
        """Return the genotypes from row `start` up to row `stop`: a column (stop - start,) for each name.

        Columns are int64 where all options are whole numbers, else float64.

        Raises:
            SpaceError: rows outside the grid.
        """
        if not 0 <= start <= stop <= len(self):
            raise SpaceError(f"rows must be between 0 and {len(self)}", f"{start} to {stop}")
        rows = np.arange(start, stop, dtype=np.int64)
        return {name: table[rows // self._strides[name] % len(table)] for name, table in self._tables.items()}

    def at(self, index: int) -> Genotype:
        """Return the genotype of one row, its values in their declared type; errors as for `columns`."""
        if not 0 <= index < len(self):
            raise SpaceError(f"a row must be between 0 and {len(self) - 1}", index)
        options = self._options.items()
        return self.space.settle({n: values[int(index) // self._strides[n] % len(values)] for n, values in options})

    def band(self, costs: ColumnCosts, budget: Budget, low: float = 0.0, chunk: int = 1 << 15) -> NDArray[np.int64]:
        """Return the rows within a budget whose cost of the first limited kind is at least `low` of that limit.

        Networks far below the budget are rarely the best within it, so only a band near the limit is worth
        evaluating. A cost of NaN is outside the band.

        Args:
            costs: the costs of genotypes in columns.
            budget: the limits; the first of macs, params, bytes and latency_ms that is set defines the order.
            low: the lower edge of the band, as a share of that limit, 0 .. 1.
            chunk: rows per call of `costs`; fastest where their columns fit into the cache.

        Returns:
            Row numbers (M,), by decreasing cost of that kind, equal costs by increasing row.

        Raises:
            BudgetError: a budget without limits, a limited kind that was not counted, or a `low` outside 0 .. 1.
        """
        if not budget.limits:
            raise BudgetError("a band needs a budget with at least one limit", "none")
        if not 0 <= low <= 1:
            raise BudgetError("the lower edge of a band must be a share of the limit, 0 to 1", low)
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
        # A stable sort: rows come in order, so equal costs stay in the order of their rows.
        order = np.argsort(-np.concatenate(kept), kind="stable")
        return np.concatenate(rows)[order].astype(np.int64, copy=False)


def _table(options: tuple[Value, ...]) -> Numbers:
    numbers = [float(option) for option in options]
    if all(math.isfinite(number) and number.is_integer() for number in numbers):
        return np.array([int(number) for number in numbers], dtype=np.int64)
    return np.array(numbers, dtype=np.float64)
