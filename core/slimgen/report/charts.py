"""Charts: quality against cost, losses and probabilities against steps. No pyplot: it keeps figures for ever."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from slimgen.errors import SlimgenError
from slimgen.report.table import ORIGINAL, TableRow, heading, metrics_of
from slimgen.report.words import arrow, title
from slimgen.search import Objective, Trial, pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by people who see colours differently (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A7B00")
INK, GREY = "#212529", "#868e96"
UNITS = {"macs": "MACs", "params": "parameters", "bytes": "bytes", "latency_ms": "ms"}
MARKERS = {ORIGINAL: "s", "found": "*", "uniform": "^"}


def pareto_chart(
    trials: Sequence[Trial],
    objective: Objective,
    path: Path,
    *,
    chosen: Trial,
    limit: float | None = None,
    cost: str = "macs",
    measured: str = "validation",
) -> None:
    """Draws all trials of a search, the Pareto front of its last step, the budget and the winner.

    Args:
        trials: what was evaluated; those without a finite quality are left out.
        objective: the metric of the vertical axis.
        path: the picture; its ending says the format.
        chosen: the winner; its step is the last.
        limit: the budget, a vertical line.
        cost: the kind of cost of the horizontal axis.
        measured: where the qualities come from, for the vertical axis.

    Raises:
        SlimgenError: no trial has a finite quality and this cost.
    """
    shown = [
        trial
        for trial in trials
        if math.isfinite(trial.quality.get(objective.metric, math.nan))
        and math.isfinite(trial.costs.get(cost, math.nan))
    ]
    if not shown:
        raise SlimgenError(f"a chart needs trials with {objective.metric} and {cost}", "none")
    unit, letter = _unit(max(trial.costs[cost] for trial in shown))
    figure = _sheet(7.4, 4.6)
    axes = _panel(figure, 1, 1, 1)
    steps = dict.fromkeys(trial.step for trial in shown)
    for colour, step in zip(_cycle(len(steps)), steps, strict=True):
        of_step = [trial for trial in shown if trial.step == step]
        xs = [trial.costs[cost] / unit for trial in of_step]
        ys = [trial.quality[objective.metric] for trial in of_step]
        label = f"{step or 'search'} ({len(of_step)})"
        axes.scatter(xs, ys, s=22, color=colour, alpha=0.65, linewidths=0, label=label, zorder=3)
    # Earlier steps may have judged mixtures, or networks that are still to be narrowed: no rivals of the chosen one.
    front = pareto([trial for trial in shown if trial.step == chosen.step], objective, cost)
    xs, ys = [trial.costs[cost] / unit for trial in front], [trial.quality[objective.metric] for trial in front]
    axes.plot(xs, ys, color=INK, linewidth=1.3, drawstyle="steps-post", label="Pareto front", zorder=4)
    if limit is not None:
        axes.axvline(limit / unit, color="#c92a2a", linewidth=1.2, linestyle=(0, (5, 3)), label="budget", zorder=2)
    place = [chosen.costs[cost] / unit], [chosen.quality[objective.metric]]
    axes.scatter(*place, s=260, marker="*", color="#ffd43b", edgecolors=INK, linewidths=1, label="chosen", zorder=6)
    axes.set_xlabel(f"{letter}{UNITS.get(cost, cost)}")
    axes.set_ylabel(f"{title(objective.metric)} {arrow(objective.goal)} ({measured})")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=150)


def training_chart(lines: Sequence[Mapping[str, object]], path: Path | IO[bytes]) -> None:
    """Draws each loss of a training log against the steps, a panel for each.

    Args:
        lines: of the log: `step`, and losses by name (`generator.recon`); learning rates (`rate.*`) are left out.
        path: the picture; its ending says the format. Or a file to write a PNG to.

    Raises:
        SlimgenError: the log holds no losses.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        step = line.get("step")
        for name, value in line.items():
            if name == "step" or name.startswith("rate") or not isinstance(step, int):
                continue
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                xs, ys = curves.setdefault(name, ([], []))
                xs.append(step)
                ys.append(value)
    if not curves:
        raise SlimgenError("a chart of a training needs losses", "a log without any")
    across = min(3, len(curves))
    down = -(-len(curves) // across)
    figure = _sheet(0.8 + 3.1 * across, 2.3 * down)
    phases = list(dict.fromkeys(name.partition(".")[0] for name in curves))
    colours = dict(zip(phases, _cycle(len(phases)), strict=True))
    for place, (name, (xs, ys)) in enumerate(curves.items(), start=1):
        axes = _panel(figure, down, across, place)
        # A training of one line is a point, not a line.
        axes.plot(xs, ys, color=colours[name.partition(".")[0]], linewidth=1.4, marker="o" if len(xs) == 1 else None)
        axes.set_title(name, fontsize=9, color=INK)
        axes.tick_params(labelsize=8)
        if place > len(curves) - across:
            axes.set_xlabel("updates", fontsize=8)
    figure.savefig(path, dpi=150)


def probability_chart(lines: Sequence[Mapping[str, object]], path: Path | IO[bytes]) -> None:
    """Draws the probability of every option against the steps, a panel for each choice, the likeliest option strong.

    Args:
        lines: of a trace: `step`, and `probabilities`, which is choice to option to number.
        path: the picture; its ending says the format. Or a file to write a PNG to.

    Raises:
        SlimgenError: the trace holds no probabilities.
    """
    curves: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for line in lines:
        step, choices = line.get("step"), line.get("probabilities")
        if not (isinstance(step, int) and isinstance(choices, Mapping)):
            continue
        for name, options in choices.items():
            for option, number in options.items():
                xs, ys = curves.setdefault(name, {}).setdefault(option, ([], []))
                xs.append(step)
                ys.append(number)
    if not curves:
        raise SlimgenError("a chart of probabilities needs some", "a trace without any")
    across = min(4, len(curves))
    down = -(-len(curves) // across)
    figure = _sheet(0.4 + 2.9 * across, 0.4 + 1.75 * down)
    top = 1.08 * max(max(ys) for options in curves.values() for _, ys in options.values())
    for place, (name, options) in enumerate(curves.items(), start=1):
        axes = _panel(figure, down, across, place)
        _options(axes, options, top)
        axes.set_title(name, fontsize=9, color=INK, loc="left")
        axes.set_ylim(0, top)
        axes.tick_params(labelsize=7)
        axes.axhline(1 / len(options), color=GREY, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
        if place > len(curves) - across:
            axes.set_xlabel("updates", fontsize=8)
    figure.savefig(path, dpi=150)


def _options(axes: "Axes", options: Mapping[str, tuple[list[float], list[float]]], top: float) -> None:
    """One panel's curves, each named at its end; names that would touch are moved apart."""
    likeliest = max(options, key=lambda option: options[option][1][-1])
    colours = dict(zip(options, _cycle(len(options)), strict=True))
    gap, height = 0.085, -math.inf
    heights = {}
    for option in sorted(options, key=lambda option: options[option][1][-1]):
        heights[option] = height = max(options[option][1][-1] / top, height + gap)
    room = 1.0
    for option in reversed(heights):
        heights[option] = min(heights[option], room)
        room = heights[option] - gap
    for place, (option, (xs, ys)) in enumerate(options.items()):
        strong = option == likeliest
        style = "-" if place < len(COLOURS) else (0, (3, 1.5))
        width, layer = (2.0, 4) if strong else (1.1, 3)
        marker = "o" if len(xs) == 1 else None
        axes.plot(xs, ys, color=colours[option], linewidth=width, linestyle=style, marker=marker, zorder=layer)
        weight = "bold" if strong else "normal"
        axes.text(
            *(1.02, heights[option], option),
            color=colours[option],
            fontsize=6.5,
            fontweight=weight,
            transform=axes.transAxes,
            va="center",
        )


def comparison_chart(
    rows: Sequence[TableRow], path: Path, *, metric: str | None = None, convention: str = "exact"
) -> None:
    """Draws quality against MACs of the generators of several runs.

    Args:
        rows: of one or several tables; a colour for each run, a marker for each kind of generator.
        path: the picture; its ending says the format.
        metric: of the vertical axis; by default the first that the rows have.
        convention: how MACs are counted.

    Raises:
        SlimgenError: no row has a finite value of this metric.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    metric = metric or next(iter(metrics_of(rows)), "")
    shown = [row for row in rows if convention in row.macs and math.isfinite(row.metrics.get(metric, math.nan))]
    if not shown:
        raise SlimgenError(f"a chart needs rows with {metric or 'a metric'} and MACs ({convention})", "none")
    unit, letter = _unit(max(row.macs[convention] for row in shown))
    figure = _sheet(7.4, 4.6)
    axes = _panel(figure, 1, 1, 1)
    runs = list(dict.fromkeys(row.run for row in shown))
    colours = dict(zip(runs, _cycle(len(runs)), strict=True))
    for row in shown:
        place = row.macs[convention] / unit, row.metrics[metric]
        marker = MARKERS.get(row.name, "o")
        big = 200 if marker == "*" else 60
        axes.scatter(*place, s=big, marker=marker, color=colours[row.run], edgecolors="white", linewidths=0.6, zorder=3)
        axes.annotate(row.name, place, (6, 5), textcoords="offset points", fontsize=8, color=INK)
    for run in runs if len(runs) > 1 else ():
        axes.scatter([], [], color=colours[run], label=run)
    if len(runs) > 1:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if max(row.macs[convention] for row in shown) > 5 * min(row.macs[convention] for row in shown):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel(f"{letter}MACs ({convention})")
    axes.set_ylabel(f"{heading(shown, metric)} (test)")
    figure.savefig(path, dpi=150)


def _sheet(width: float, height: float) -> "Figure":
    """An empty figure of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _panel(figure: "Figure", down: int, across: int, place: int) -> "Axes":
    axes = figure.add_subplot(down, across, place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, color=GREY)
    return axes


def _unit(largest: float) -> tuple[float, str]:
    """What to divide by, and the letter that says so."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= unit:
            return unit, letter
    return 1.0, ""


def _cycle(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]
