"""Chart of a search: quality against the cost that the budget limits, and a text for every point."""

import math
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from slimgen.errors import SlimgenError
from slimgen.report.budget import shown as cost_words
from slimgen.report.charts import BESIDE
from slimgen.report.figures import INK, RED, colours_of, panel, save, sheet, unit_of
from slimgen.report.words import COSTS, arrow, quality, title
from slimgen.search import Budget, Objective, Trial, Value, pareto

PREFERRED = ("latency_ms", "macs", "params", "bytes")
"""Kinds of cost in the order of preference for the horizontal axis, among those that the budget limits."""
CHOICES = 16
"""Number of choices of a genotype that are written beside a point."""


class Spot(NamedTuple):
    """A point of a chart: its distance from the left and the top of the picture, in percent, and its text."""

    left: float
    top: float
    text: str


def front_chart(
    trials: Sequence[Trial],
    objective: Objective,
    file: Path | IO[bytes],
    *,
    chosen: Trial,
    limits: Mapping[str, float] | None = None,
    steps: Container[str] = (),
    measured: str = "validation",
) -> list[Spot]:
    """Draw a search's trials, the Pareto front within the budget, the limit, and the winner.

    Args:
        trials: the trials of a search; those without a finite quality or cost are left out.
        objective: the metric on the vertical axis.
        file: a path, whose suffix is the format, or an open file, which gets a PNG.
        chosen: the winner.
        limits: limits of the budget by kind of cost. One of them is the horizontal axis; without any, MACs are.
        steps: steps whose trials the winner was chosen from, and the front is drawn of; by default the winner's own.
            Earlier steps may have measured mixtures, or networks that were narrowed later.
        measured: the images on which the quality was measured.

    Returns:
        A spot for every trial in the chart, the winner's last.

    Raises:
        SlimgenError: no trial has a finite quality and cost.
    """
    limits = limits or {}
    steps = steps or (chosen.step,)
    kind = limited_cost(limits)

    def point(trial: Trial) -> tuple[float, float]:
        return trial.costs.get(kind, math.nan), trial.quality.get(objective.metric, math.nan)

    shown = [trial for trial in trials if all(map(math.isfinite, point(trial)))]
    if not shown:
        raise SlimgenError(f"a chart needs trials with {objective.metric} and {kind}", "none")
    divisor, unit = unit_of(kind, max(point(trial)[0] for trial in shown))
    figure = sheet(7.4, 4.6)
    axes = panel(figure)

    def points(of: Sequence[Trial]) -> tuple[list[float], list[float]]:
        return [point(trial)[0] / divisor for trial in of], [point(trial)[1] for trial in of]

    for step, colour in colours_of(trial.step for trial in shown).items():
        of_step = [trial for trial in shown if trial.step == step]
        label = f"{step or 'search'} ({len(of_step)})"
        axes.scatter(*points(of_step), s=22, color=colour, alpha=0.65, linewidths=0, label=label, zorder=3)
    rivals = [trial for trial in shown if trial.step in steps and _within(trial, limits)]
    words = "front within the budget" if limits else "Pareto front"
    front = points(pareto(rivals, objective, kind))
    axes.plot(*front, color=INK, linewidth=1.3, drawstyle="steps-post", label=words, zorder=4)
    if kind in limits:
        look: dict[str, Any] = {"color": RED, "linewidth": 1.2, "linestyle": (0, (5, 3)), "zorder": 2}
        axes.axvline(limits[kind] / divisor, label="budget", **look)
    star: dict[str, Any] = {"s": 260, "marker": "*", "color": "#ffd43b", "edgecolors": INK, "linewidths": 1}
    axes.scatter(*points([chosen]), **star, label="chosen", zorder=6)
    axes.set_xlabel(f"{unit}{COSTS[kind]}")
    axes.set_ylabel(f"{title(objective.metric)} {arrow(objective.goal)} ({measured})")
    axes.legend(**BESIDE)
    save(figure, file)
    texts = [_words(trial, objective) for trial in (*shown, chosen)]
    texts[-1] = f"chosen: {texts[-1]}"
    places = axes.transData.transform(list(zip(*points([*shown, chosen]), strict=True)))
    across, up = figure.bbox.width, figure.bbox.height
    return [Spot(100 * x / across, 100 * (1 - y / up), text) for (x, y), text in zip(places, texts, strict=True)]


def limited_cost(limits: Mapping[str, float]) -> str:
    """Return the kind of cost that a budget limits, the first in `PREFERRED` of several; `macs` without limits."""
    return next((kind for kind in PREFERRED if kind in limits), "macs")


def _within(trial: Trial, limits: Mapping[str, float]) -> bool:
    return limits.keys() <= trial.costs.keys() and Budget(**limits).allows(trial.costs)


def _words(trial: Trial, objective: Objective) -> str:
    """Return the measured quality, the costs and the choices of a trial as text."""
    costs = [f"{cost_words(kind, value)} {COSTS[kind]}" for kind, value in trial.costs.items() if kind in COSTS]
    measured = f"{title(objective.metric)} {quality(trial.quality[objective.metric])}"
    head = f"{trial.step + ': ' if trial.step else ''}{', '.join([measured, *costs])}"
    return "\n".join([head, *_choices(trial.genotype)])


def _choices(genotype: Mapping[str, Value]) -> list[str]:
    """Return the first choices of a genotype, four per line."""
    texts = [f"{name} {_short(value)}" for name, value in genotype.items()][:CHOICES]
    lines = [", ".join(texts[start : start + 4]) for start in range(0, len(texts), 4)]
    return [*lines, f"and {len(genotype) - CHOICES} more choices"] if len(genotype) > CHOICES else lines


def _short(value: Value) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text.count('1')}/{len(text)}" if len(text) > 12 and set(text) <= {"0", "1"} else text
