import itertools
import math

import numpy as np
import pytest

from slimgen.errors import BudgetError
from slimgen.search import Budget, Choice, Genotype, Mask, Space, SpaceError
from slimgen.search.grid import Grid

WIDTHS = Space({"a": Choice((16, 24, 32)), "b": Choice((0.25, 1)), "c": Choice((1, 2, 4, 8)), "d": Choice((5,))})


def products(columns):
    """A chain of layers: each costs the product of the widths on its two sides."""
    values = list(columns.values())
    macs = sum(one * two for one, two in itertools.pairwise(values))
    return {"macs": macs, "params": sum(values)}


def costs(genotype):
    return {kind: float(cost) for kind, cost in products(dict(genotype)).items()}


def test_rows_are_the_genotypes_of_the_space_in_its_order():
    grid, listed = Grid(WIDTHS), list(WIDTHS.enumerate())
    assert len(grid) == len(listed) == 24
    assert [grid.at(index) for index in range(24)] == listed
    assert [grid.at(index).key for index in range(24)] == [genotype.key for genotype in listed]
    columns = {name: column.tolist() for name, column in grid.columns(0, 24).items()}
    rows = zip(*columns.values(), strict=True)
    assert [Genotype(dict(zip(columns, row, strict=True))) for row in rows] == listed


def test_a_part_of_the_rows_is_that_part_of_the_columns():
    grid = Grid(WIDTHS)
    whole = grid.columns(0, 24)
    for start, stop in ((0, 0), (3, 17), (23, 24)):
        part = grid.columns(start, stop)
        assert all(np.array_equal(part[name], whole[name][start:stop]) for name in whole)
    assert {name: column.dtype for name, column in whole.items()} == {
        **dict.fromkeys("acd", np.dtype(np.int64)),
        "b": np.dtype(np.float64),
    }


def test_a_genotype_has_the_values_as_the_space_declares_them():
    value = Grid(WIDTHS).at(np.int64(23))["a"]
    assert type(value) is int
    assert Grid(WIDTHS).at(23) == WIDTHS.largest()
    assert Grid(Space({})).at(0) == Genotype({})


@pytest.mark.parametrize("chunk", [1, 5, 24, 1 << 20])
@pytest.mark.parametrize(
    ("budget", "low"),
    [
        (Budget(macs=40), 0.0),
        (Budget(macs=40), 0.8),
        (Budget(macs=40, params=30), 0.5),
        (Budget(params=30), 1.0),
        (Budget(macs=1e9), 0.0),
        (Budget(macs=1), 0.0),
    ],
)
def test_the_band_is_what_filtering_every_genotype_leaves(budget, low, chunk):
    first, limit = next(iter(budget.limits.items()))
    listed = [(index, costs(genotype)) for index, genotype in enumerate(WIDTHS.enumerate())]
    within = [(i, cost[first]) for i, cost in listed if budget.allows(cost) and cost[first] >= low * limit]
    expected = [index for index, _ in sorted(within, key=lambda entry: (-entry[1], entry[0]))]
    rows = Grid(WIDTHS).band(products, budget, low, chunk)
    assert rows.tolist() == expected
    assert rows.dtype == np.int64


def test_equal_costs_stay_in_the_order_of_their_rows():
    rows = Grid(WIDTHS).band(lambda columns: {"macs": columns["d"] * 0}, Budget(macs=1), chunk=7)
    assert rows.tolist() == list(range(24))


def test_a_cost_of_nan_is_outside_of_every_band():
    def broken(columns):
        return {"macs": np.where(columns["a"] == 24, math.nan, columns["a"].astype(float))}

    grid = Grid(WIDTHS)
    assert {grid.at(row)["a"] for row in grid.band(broken, Budget(macs=1e9))} == {16, 32}


def test_a_space_that_cannot_be_a_grid_is_refused_and_the_dimension_named():
    for space, named in (
        (Space({"m": Mask(3)}), "a choice of numbers; m is not"),
        (Space({"op": Choice(("dws", "res"))}), "a choice of numbers; op is not"),
        (Space({"a": Choice((1, 2)), "b": Choice((1, 2))}, {"b": ("a", frozenset({2}))}), "b"),
    ):
        with pytest.raises(SpaceError, match=named):
            Grid(space)


def test_rows_outside_the_grid_and_bands_without_a_limit_are_refused():
    grid = Grid(WIDTHS)
    for index in (-1, 24):
        with pytest.raises(SpaceError, match="between 0 and 23"):
            grid.at(index)
    with pytest.raises(SpaceError, match="rows must be between 0 and 24"):
        grid.columns(20, 25)
    with pytest.raises(BudgetError, match="needs a budget with at least one limit"):
        grid.band(products, Budget())
    with pytest.raises(BudgetError, match="bytes is limited"):
        grid.band(products, Budget(bytes=1))
    with pytest.raises(BudgetError, match="share of the limit"):
        grid.band(products, Budget(macs=1), 1.5)
