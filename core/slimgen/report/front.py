"""Chart of a search: quality against the cost that the budget limits."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slimgen.errors import SlimgenError
from slimgen.report.charts import BESIDE
from slimgen.report.figures import INK, RED, colours_of, panel, save, sheet, unit_of
from slimgen.report.words import COSTS, arrow, title
from slimgen.report.words import step as step_words
from slimgen.search import Budget, Objective, Trial, pareto

PREFERRED = ("latency_ms", "macs", "params", "bytes")
"""Kinds of cost in the order of preference for the horizontal axis, among those that the budget limits."""
Point = tuple[float, float]
"""A cost, in the unit of the axis, and a quality."""


@dataclass(frozen=True)
class Front:
    """What a chart of a search shows.

    Attributes:
        objective: the metric on the vertical axis.
        kind: the kind of cost on the horizontal axis.
        divisor: how many of that cost are one on the axis.
        unit: letters of this unit, such as `M `.
        trials: the trials with a finite quality and cost.
        chosen: the winner.
        within: the trials on the Pareto front, among the steps that the winner was chosen from.
        limits: limits of the budget by kind of cost.
        measured: the images on which the quality was measured.
    """

    objective: Objective
    kind: str
    divisor: float
    unit: str
    trials: tuple[Trial, ...]
    chosen: Trial
    within: tuple[Trial, ...]
    limits: Mapping[str, float]
    measured: str

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        objective: Objective,
        *,
        chosen: Trial,
        limits: Mapping[str, float] | None = None,
        steps: Container[str] = (),
        measured: str = "validation",
    ) -> "Front":
        """Gather it from a search.

        Args:
            trials: the trials of a search; those without a finite quality or cost are left out.
            objective: the metric.
            chosen: the winner.
            limits: limits of the budget by kind of cost. One of them is the horizontal axis; without any, MACs are.
            steps: steps whose trials the winner was chosen from, and the front is drawn of; by default the winner's
                own. Earlier steps may have measured mixtures, or networks that were narrowed later.
            measured: the images on which the quality was measured.

        Raises:
            SlimgenError: no trial has a finite quality and cost.
        """
        limits, steps = limits or {}, steps or (chosen.step,)
        kind = limited_cost(limits)
        shown = tuple(trial for trial in trials if all(map(math.isfinite, _values(trial, kind, objective))))
        if not shown:
            raise SlimgenError(f"a chart needs trials with {objective.metric} and {kind}", "none")
        divisor, unit = unit_of(kind, max(trial.costs[kind] for trial in shown))
        rivals = [trial for trial in shown if trial.step in steps and _within(trial, limits)]
        within = tuple(pareto(rivals, objective, kind))
        return cls(objective, kind, divisor, unit, shown, chosen, within, limits, measured)

    def points(self, trials: Sequence[Trial]) -> list[Point]:
        """Return the points of trials."""
        values = (_values(trial, self.kind, self.objective) for trial in trials)
        return [(cost / self.divisor, quality) for cost, quality in values]

    @property
    def limit(self) -> float | None:
        """The budget's limit on the horizontal axis; None without one."""
        return self.limits[self.kind] / self.divisor if self.kind in self.limits else None

    @property
    def line(self) -> str:
        """What the line of the front is called."""
        return "front within the budget" if self.limits else "Pareto front"

    @property
    def across(self) -> str:
        """Label of the horizontal axis."""
        return f"{self.unit}{COSTS[self.kind]}"

    @property
    def up(self) -> str:
        """Label of the vertical axis."""
        return f"{title(self.objective.metric)} {arrow(self.objective.goal)} ({self.measured})"


def front_chart(
    trials: Sequence[Trial],
    objective: Objective,
    file: Path | IO[bytes],
    *,
    chosen: Trial,
    limits: Mapping[str, float] | None = None,
    steps: Container[str] = (),
    measured: str = "validation",
) -> None:
    """Draw a search's trials, the Pareto front within the budget, the limit, and the winner.

    `file` is a path, whose suffix is the format, or an open file, which gets a PNG. For the other arguments and the
    errors, see `Front.of`.
    """
    front = Front.of(trials, objective, chosen=chosen, limits=limits, steps=steps, measured=measured)
    figure = sheet(7.4, 4.6)
    axes = panel(figure)
    for step, colour in colours_of(trial.step for trial in front.trials).items():
        of_step = [trial for trial in front.trials if trial.step == step]
        label = f"{step_words(step)} ({len(of_step)})"
        axes.scatter(
            *_columns(front.points(of_step)), s=22, color=colour, alpha=0.65, linewidths=0, label=label, zorder=3
        )
    line = _columns(front.points(front.within))
    axes.plot(*line, color=INK, linewidth=1.3, drawstyle="steps-post", label=front.line, zorder=4)
    if front.limit is not None:
        look: dict[str, Any] = {"color": RED, "linewidth": 1.2, "linestyle": (0, (5, 3)), "zorder": 2}
        axes.axvline(front.limit, label="budget", **look)
    star: dict[str, Any] = {"s": 260, "marker": "*", "color": "#ffd43b", "edgecolors": INK, "linewidths": 1}
    axes.scatter(*_columns(front.points([chosen])), **star, label="chosen", zorder=6)
    axes.set_xlabel(front.across)
    axes.set_ylabel(front.up)
    axes.legend(**BESIDE)
    save(figure, file)


def limited_cost(limits: Mapping[str, float]) -> str:
    """Return the kind of cost that a budget limits, the first in `PREFERRED` of several; `macs` without limits."""
    return next((kind for kind in PREFERRED if kind in limits), "macs")


def _values(trial: Trial, kind: str, objective: Objective) -> Point:
    return trial.costs.get(kind, math.nan), trial.quality.get(objective.metric, math.nan)


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _within(trial: Trial, limits: Mapping[str, float]) -> bool:
    return limits.keys() <= trial.costs.keys() and Budget(**limits).allows(trial.costs)
