"""Charts: generators of several runs by quality and cost, losses and probabilities against updates."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from slimgen.errors import SlimgenError
from slimgen.report.figures import COLOURS, GREY, INK, RED, colours_of, panel, panels, save, sheet, unit_of
from slimgen.report.table import ORIGINAL, SLOWER, TableRow, heading, metrics_of, originals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {ORIGINAL: ("s", 60), "found": ("*", 200), "adopted": ("*", 200)}
RIVAL = ("^", 60)
"""A marker and its area in square points."""
BESIDE: dict[str, Any] = {"frameon": False, "fontsize": 8, "loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
"""Options of a legend at the right of the panel."""
EDGE: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.6}
Curve = tuple[list[float], list[float]]


def training_chart(lines: Sequence[Mapping[str, object]], path: Path | IO[bytes]) -> None:
    """Draw each loss of a training log against the steps, one panel per loss.

    Lines of the log hold `step` and losses by name (`generator.recon`); learning rates (`rate.*`) are left out. For the
    file, see `save`.

    Raises:
        SlimgenError: the log holds no losses.
    """
    curves: dict[str, Curve] = {}
    for line in lines:
        for name, value in line.items():
            if name != "step" and not name.startswith("rate"):
                _append(curves, name, line.get("step"), value)
    if not curves:
        raise SlimgenError("a training chart needs losses", "a log without any")
    figure, all_axes = panels(list(curves), 3, 3.1, 2.3)
    colours = colours_of(name.partition(".")[0] for name in curves)
    for axes, (name, (xs, ys)) in zip(all_axes, curves.items(), strict=True):
        axes.plot(xs, ys, color=colours[name.partition(".")[0]], linewidth=1.4, marker=_marker(xs))
    save(figure, path)


def probability_chart(lines: Sequence[Mapping[str, object]], path: Path | IO[bytes]) -> None:
    """Draw the probability of every option against the steps, one panel per choice; the likeliest option is strong.

    Lines of the trace hold `step` and `probabilities`: by choice, then by option. For the file, see `save`.

    Raises:
        SlimgenError: the trace holds no probabilities.
    """
    curves: dict[str, dict[str, Curve]] = {}
    for line in lines:
        choices = line.get("probabilities")
        for name, options in choices.items() if isinstance(choices, Mapping) else ():
            for option, number in options.items():
                _append(curves.setdefault(name, {}), option, line.get("step"), number)
    if not curves:
        raise SlimgenError("a probability chart needs probabilities", "a trace without any")
    figure, all_axes = panels(list(curves), 4, 2.9, 1.75)
    top = 1.08 * max(max(ys) for options in curves.values() for _, ys in options.values())
    for axes, options in zip(all_axes, curves.values(), strict=True):
        _options(axes, options, top)
        axes.set_ylim(0, top)
        axes.axhline(1 / len(options), color=GREY, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
    save(figure, path)


def _append(curves: dict[str, Curve], name: str, step: object, value: object) -> None:
    """Add a point to a curve, unless it is not finite."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(step, int) and number and math.isfinite(value):  # type: ignore[arg-type]
        xs, ys = curves.setdefault(name, ([], []))
        xs.append(step)
        ys.append(value)  # type: ignore[arg-type]


def _marker(xs: Sequence[float]) -> str | None:
    """Return a marker for a curve of one point, else None."""
    return "o" if len(xs) == 1 else None


def _options(axes: "Axes", options: Mapping[str, Curve], top: float) -> None:
    """Draw one panel's curves, each named at its end; move names apart that would touch."""
    likeliest = max(options, key=lambda option: options[option][1][-1])
    colours = colours_of(options)
    gap, height = 0.085, -math.inf
    heights = {}
    for option in sorted(options, key=lambda option: options[option][1][-1]):
        heights[option] = height = max(options[option][1][-1] / top, height + gap)
    room = 1.0
    for option in reversed(heights):
        heights[option] = min(heights[option], room)
        room = heights[option] - gap
    for index, (option, (xs, ys)) in enumerate(options.items()):
        strong = option == likeliest
        style = "-" if index < len(COLOURS) else (0, (3, 1.5))
        width, layer = (2.0, 4) if strong else (1.1, 3)
        axes.plot(xs, ys, color=colours[option], linewidth=width, linestyle=style, marker=_marker(xs), zorder=layer)
        words: dict[str, Any] = {"fontsize": 6.5, "fontweight": "bold" if strong else "normal", "va": "center"}
        axes.text(1.02, heights[option], option, color=colours[option], transform=axes.transAxes, **words)


def comparison_chart(
    rows: Sequence[TableRow], path: Path, *, metric: str | None = None, convention: str = "exact"
) -> None:
    """Draw quality against MACs of several runs' generators: one colour per run, one marker per kind.

    A generator that is slower than the original has its factor beside it, in red. The quality is `metric`, or the first
    metric of the rows. The path's suffix is the format of the picture.

    Raises:
        SlimgenError: no row has a finite value of this metric.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    metric = metric or next(iter(metrics_of(rows)), "")
    shown = [row for row in rows if convention in row.macs and math.isfinite(row.metrics.get(metric, math.nan))]
    if not shown:
        raise SlimgenError(f"a chart needs rows with {metric or 'a metric'} and MACs ({convention})", "none")
    unit, letter = unit_of("macs", max(row.macs[convention] for row in shown))
    figure = sheet(7.4, 4.6)
    axes = panel(figure)
    colours = colours_of(row.run for row in shown)
    speeds = {id(row): row.speed(old) for row, old in zip(rows, originals(rows), strict=True) if old}
    covered: Counter[tuple[str, str]] = Counter()
    for row in shown:
        point = row.macs[convention] / unit, row.metrics[metric]
        marker, area = MARKERS.get(row.name, RIVAL)
        place = f"{point[0]:.3g}", f"{point[1]:.3g}"
        # A point on top of another, such as an original that two runs share, becomes a ring around it.
        around, colour = covered[place], colours[row.run]
        look = {"facecolors": "none", "edgecolors": colour, "linewidths": 1.6} if around else {"color": colour}
        axes.scatter(*point, s=area * (1 + 0.7 * around) ** 2, marker=marker, **{**EDGE, **look}, zorder=3)
        covered[place] += 1
        slow = speeds.get(id(row), "").startswith(SLOWER)
        words = f"{row.name}, {speeds[id(row)]}" if slow else row.name
        axes.annotate(words, point, (6, 5), textcoords="offset points", fontsize=8, color=RED if slow else INK)
    if len(colours) > 1:
        for run, colour in colours.items():
            axes.scatter([], [], color=colour, label=run.replace("$", r"\$"))
        axes.legend(**BESIDE)
    if max(row.macs[convention] for row in shown) > 5 * min(row.macs[convention] for row in shown):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel(f"{letter}MACs ({convention})")
    axes.set_ylabel(f"{heading(shown, metric)} (test)")
    save(figure, path)
