import math

import pytest

from slimgen.report.paired import differences, differences_table, seeds
from slimgen.report.table import parse_table
from tests.report.test_table import ORIGINAL as ROW


def run(seed: int, recipe: str = "one", **quality: float):
    rows = [{**ROW, "name": name, "metrics": {"psnr": value, "own": 1.0}} for name, value in quality.items()]
    return parse_table({"convention": "exact", "recipe": recipe, "seed": seed, "goals": {"psnr": "max"}, "rows": rows})


def test_gains_are_paired_by_run_and_rivals_of_a_kind_averaged() -> None:
    tables = [run(0, found=21.0, random1=20.0, random2=18.0), run(1, found=23.0, random1=19.0, random2=22.0)]
    (one,) = differences(tables)
    assert (one.rival, one.metric, one.gains) == ("random", "psnr", (2.0, 2.5))
    assert one.mean == 2.25
    # Two gains: t = 2.25 / (0.354 / sqrt(2)) = 9 with one degree of freedom, p = 2 (1/2 - atan(9) / pi).
    assert one.p == pytest.approx(1 - 2 * math.atan(9) / math.pi)
    assert one.verdict == "no difference shown"


def test_a_metric_to_be_lowered_gains_by_falling() -> None:
    tables = [run(seed, found=value, narrowed=9.0) for seed, value in enumerate((5.0, 5.1, 4.9))]
    tables = [parse_table({**plain(table), "goals": {"psnr": "min"}}) for table in tables]
    (one,) = differences(tables)
    assert one.mean == pytest.approx(4.0)
    assert one.verdict == "better"


def plain(table):
    rows = [{**ROW, "name": row.name, "metrics": dict(row.metrics)} for row in table.rows]
    return {"convention": "exact", "recipe": table.recipe, "seed": table.seed, "rows": rows}


def test_one_run_shows_no_difference() -> None:
    (one,) = differences([run(0, found=21.0, random1=20.0)])
    assert math.isnan(one.p)
    assert one.verdict == "no difference shown"


def test_runs_are_paired_that_are_of_one_recipe_and_different_seeds() -> None:
    assert seeds([run(0, found=1.0), run(1, found=1.0)])
    assert not seeds([run(0, found=1.0)])
    assert not seeds([run(0, found=1.0), run(0, found=1.0)])
    assert not seeds([run(0, found=1.0), run(1, "two", found=1.0)])


def test_the_table_says_worse_where_the_found_generator_is_worse() -> None:
    tables = [run(seed, found=value, random1=20.0) for seed, value in enumerate((19.0, 19.1, 18.9))]
    table = differences_table(tables)
    assert next(iter(table.columns[-1].cells)) == "worse"
