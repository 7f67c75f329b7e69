"""Chart of a search inside the page: drawn by the browser at any width, each point with its own words."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from slimgen.report.budget import shown as cost_words
from slimgen.report.figures import colours_of
from slimgen.report.front import Front, Point
from slimgen.report.words import COSTS, arrow, quality, title
from slimgen.report.words import step as step_words
from slimgen.search import Trial, Value

CHOICES = 16
"""Number of choices of a genotype that are written beside a point."""
SHAPES = ("round", "square", "diamond", "triangle")
"""Shapes of points, so that steps differ not by their colour alone."""
ROOM = 0.05
"""Share of an axis that stays empty at each end."""


class Dot(NamedTuple):
    """A point: its distance from the left and the top of the panel, in percent, and the number of its step."""

    left: float
    top: float
    step: int


class Step(NamedTuple):
    """A step of the search, as in the legend: its name, its number of trials, and their look."""

    name: str
    trials: int
    colour: str
    shape: str


class Plot(NamedTuple):
    """A chart for the page; all places are percents of the panel, from the left or the top.

    Attributes:
        across: label of the horizontal axis.
        up: label of the vertical axis.
        line: name of the front's line.
        columns: places and texts of the ticks of the horizontal axis.
        rows: likewise of the vertical axis.
        steps: the steps of the search.
        dots: a point for each trial, the best quality first.
        chosen: place of the winner, and the number of its dot; None if it is not among the trials.
        segments: the front's line, as segments from (left, top) to (left, top).
        limit: place of the budget's limit; None without one.
        limit_words: the limit as text.
        headings: columns of the table of all trials.
        cells: a line of that table for each dot.
    """

    across: str
    up: str
    line: str
    columns: list[tuple[float, str]]
    rows: list[tuple[float, str]]
    steps: list[Step]
    dots: list[Dot]
    chosen: tuple[float, float, int | None]
    segments: list[tuple[float, float, float, float]]
    limit: float | None
    limit_words: str
    headings: list[str]
    cells: list[list[str]]


def plot_of(front: Front) -> Plot:
    """Lay out a chart for the page."""
    trials = sorted(front.trials, key=lambda trial: front.objective.fitness(trial.quality), reverse=True)
    points, (star,), line = front.points(trials), front.points([front.chosen]), front.points(front.within)
    costs = [x for x, _ in (*points, star)] + ([] if front.limit is None else [front.limit])
    across, up = _scale(costs), _scale([y for _, y in (*points, star)])

    def place(point: Point) -> tuple[float, float]:
        return across.percent(point[0]), 100 - up.percent(point[1])

    names = list(dict.fromkeys(trial.step for trial in front.trials))
    colours = colours_of(names)
    steps = [
        Step(step_words(name), sum(trial.step == name for trial in trials), colours[name], SHAPES[n % len(SHAPES)])
        for n, name in enumerate(names)
    ]
    places = [place(point) for point in points]
    # The winner as it was measured in the last step that measured it.
    same = [n for n, trial in enumerate(trials) if trial.genotype == front.chosen.genotype]
    number = next((n for n in same if trials[n].step == front.chosen.step), same[0] if same else None)
    kinds = [kind for kind in COSTS if any(kind in trial.costs for trial in trials)]
    objective = front.objective
    return Plot(
        across=front.across,
        up=front.up,
        line=front.line,
        columns=[(across.percent(tick), f"{tick:.6g}") for tick in across.ticks],
        rows=[(100 - up.percent(tick), f"{tick:.6g}") for tick in up.ticks],
        steps=steps,
        dots=[Dot(*spot, names.index(trial.step)) for spot, trial in zip(places, trials, strict=True)],
        chosen=(*place(star), number),
        segments=_stairs([place(point) for point in line]),
        limit=None if front.limit is None else across.percent(front.limit),
        limit_words=""
        if front.limit is None
        else f"{cost_words(front.kind, front.limits[front.kind])} {COSTS[front.kind]}",
        headings=[
            "step",
            f"{title(objective.metric)} {arrow(objective.goal)}",
            *("weights" if kind == "bytes" else COSTS[kind] for kind in kinds),
            "choices",
        ],
        cells=[_cells(trial, objective.metric, kinds) for trial in trials],
    )


class Scale(NamedTuple):
    """An axis: its first and last value, and its ticks."""

    first: float
    last: float
    ticks: list[float]

    def percent(self, value: float) -> float:
        """Return a value's place between both ends."""
        return 100 * (value - self.first) / (self.last - self.first)


def _scale(values: Sequence[float]) -> Scale:
    """Return an axis for values, with some room at both ends."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(values), max(values)
    room = ROOM * (high - low) or abs(low) * ROOM or 1.0
    ticks = MaxNLocator(nbins=5, steps=(1, 2, 2.5, 5, 10)).tick_values(low - room, high + room)
    return Scale(low - room, high + room, [tick for tick in map(float, ticks) if low - room <= tick <= high + room])


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    """Return a line through points that keeps its height until the next point, as segments."""
    segments = []
    for (left, top), (right, below) in pairwise(points):
        segments += [(left, top, right, top), (right, top, right, below)]
    return segments


def _cells(trial: Trial, metric: str, kinds: Sequence[str]) -> list[str]:
    """Return a trial's step, quality, costs and choices as text."""
    costs = [cost_words(kind, trial.costs[kind]) if kind in trial.costs else "-" for kind in kinds]
    return [step_words(trial.step), quality(trial.quality[metric]), *costs, choices(trial.genotype)]


def choices(genotype: Mapping[str, Value]) -> str:
    """Return the first choices of a genotype as text; of a long mask, how many of its places are kept."""
    texts = [f"{name} {_short(value)}" for name, value in genotype.items()][:CHOICES]
    rest = [f"and {len(genotype) - CHOICES} more"] if len(genotype) > CHOICES else []
    return ", ".join([*texts, *rest])


def _short(value: Value) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text.count('1')}/{len(text)}" if len(text) > 12 and set(text) <= {"0", "1"} else text
