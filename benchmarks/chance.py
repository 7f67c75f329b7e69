"""README's table of the search against chance: one column for each data set and budget, one row for each rival.

It reads the figures that `python -m benchmarks.fair` left for the recipes of successive halving.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from slimgen.report.paired import LEVEL

RIVALS = {
    "random": "random architectures of the whole space",
    "random_path": "random architectures of the path it found",
    "narrowed": "the original narrowed to equal MACs",
    "narrowed_latency": "the original narrowed to equal milliseconds",
    "original": "the original itself",
}
RECIPES = "halving"
METRIC = "psnr"


def lines(files: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a Markdown table of the mean paired differences in PSNR, those of p < 0.05 in bold."""
    columns = dict(sorted(columns_of(files).items(), key=lambda column: (column[0][0], -column[0][1])))
    heads = [f"{data}, {budget}" for data, budget in columns]
    rows = [f"| found against | {' | '.join(heads)} |", "| :-- |" + " --: |" * len(heads)]
    for rival, words in RIVALS.items():
        rows.append(f"| {words} | {' | '.join(cell(gains.get(rival)) for gains in columns.values())} |")
    return rows


def columns_of(files: Iterable[Mapping[str, Any]]) -> dict[tuple[str, Fraction], dict[str, Mapping[str, Any]]]:
    """Return data set and budget to rival to its difference, of every comparison that has random rivals."""
    columns = {}
    for found in files:
        data, _, rest = found["recipe"].partition("-")
        for budget, values in found["budgets"].items():
            gains = {one["rival"]: one for one in values["differences"] if one["metric"] == METRIC}
            # A number of MACs is no share of the original's.
            if rest.endswith(RECIPES) and "random" in gains and not budget.isdigit():
                columns[data, Fraction(budget)] = gains
    return columns


def cell(gain: Mapping[str, Any] | None) -> str:
    """Return a difference with its p, or nothing where it was not measured."""
    if gain is None:
        return ""
    figure = f"{gain['mean']:+.2f}"
    return f"{f'**{figure}**' if gain['p'] < LEVEL else figure} ({gain['p']:.2g})"
