"""Found generator against its rivals over several seeds: paired differences and their significance."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from slimgen.files import REVERSE
from slimgen.report.table import Table, heading
from slimgen.report.words import kind_of

if TYPE_CHECKING:
    import rich.table

FOUND = "found"
LEVEL = 0.05
"""Significance level: the largest p at which a difference is reported."""


@dataclass(frozen=True)
class Difference:
    """How much better the found generator is than one kind of rival, paired run by run.

    Attributes:
        rival: kind of rival; several of one kind in a run are compared by their mean.
        gains: the gain in each run, in the metric's unit; positive if the found generator is better.
        p: p value of a two-sided t test of the gains' mean against 0; NaN for a single run.
    """

    rival: str
    metric: str
    gains: tuple[float, ...]
    p: float

    @classmethod
    def of(cls, rival: str, metric: str, gains: Sequence[float]) -> "Difference":
        """Return the difference with the t test of the gains."""
        from scipy.stats import ttest_1samp

        p = float(ttest_1samp(gains, 0.0).pvalue) if len(gains) > 1 else math.nan
        return cls(rival, metric, tuple(gains), p)

    @property
    def mean(self) -> float:
        """Return the mean gain."""
        return statistics.fmean(self.gains)

    @property
    def deviation(self) -> float:
        """Return the standard deviation of the gains; NaN for a single run."""
        return statistics.stdev(self.gains) if len(self.gains) > 1 else math.nan

    @property
    def verdict(self) -> str:
        """Return `better`, `worse`, or that no difference is shown."""
        if not self.p < LEVEL:
            return "no difference shown"
        return "better" if self.mean > 0 else "worse"

    @property
    def facts(self) -> dict[str, Any]:
        """Return all fields for JSON."""
        return {**asdict(self), "mean": self.mean, "deviation": self.deviation, "verdict": self.verdict}


def seeds(tables: Sequence[Table]) -> bool:
    """Return whether the runs are of one recipe with different seeds, so that they can be paired."""
    return len(tables) > 1 and len({table.recipe for table in tables}) == 1 < len({table.seed for table in tables})


def differences(tables: Sequence[Table]) -> list[Difference]:
    """Return the difference per kind of rival and metric with a known goal, over the runs that have both.

    A rival of the reverse direction is compared with the found generator of that direction.
    """
    gains: dict[tuple[str, str], list[float]] = {}
    for table in tables:
        by_kind: dict[str, list[Mapping[str, float]]] = {}
        for row in (row for row in table.rows if row.params is not None):
            by_kind.setdefault(kind_of(row.name), []).append(row.metrics)
        if FOUND not in by_kind:
            continue
        goals = table.rows[0].goals
        for kind, rows in by_kind.items():
            found = f"{FOUND}{REVERSE}" if kind.endswith(REVERSE) else FOUND
            for metric, value in by_kind[found][0].items() if kind != found and found in by_kind else ():
                others = [row[metric] for row in rows if metric in row]
                if metric in goals and others:
                    gain = value - statistics.fmean(others)
                    gains.setdefault((kind, metric), []).append(gain if goals[metric] == "max" else -gain)
    return [Difference.of(kind, metric, each) for (kind, metric), each in gains.items()]


def differences_table(tables: Sequence[Table]) -> "rich.table.Table":
    """Return the differences as a table for a terminal."""
    from rich.box import SIMPLE
    from rich.table import Table as Terminal

    title = f"gain of found over each rival, paired run by run, over {len(tables)} seeds"
    terminal = Terminal(title=title, title_justify="left", title_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("than", "metric", "mean gain", "deviation", "p", "found is"):
        terminal.add_column(name, justify="left" if name in ("than", "metric", "found is") else "right")
    for one in differences(tables):
        metric = heading(tables[0].rows, one.metric)
        figures = (f"{one.mean:+.4g}", f"{one.deviation:.2g}", f"{one.p:.2g}")
        style = {"better": "green", "worse": "red"}.get(one.verdict)
        terminal.add_row(one.rival, metric, *figures, one.verdict, style=style)
    return terminal
