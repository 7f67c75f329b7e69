"""The result of a run for the page: its headline, and its table, with what is better and what is worse."""

import math
from typing import NamedTuple

from slimgen.report.table import (
    FASTER,
    ORIGINAL,
    SLOWER,
    SPEED,
    Table,
    TableRow,
    cells,
    heading,
    headings,
    metrics_of,
    original_of,
    originals,
)
from slimgen.report.words import against, arrow, factor, quality, title

BETTER, WORSE = "better", "worse"
FEWER, MORE = "fewer", "more"
RATIOS = ("generator", "MACs", "latency", "latency in PyTorch", "p50 ms in PyTorch")


class Figure(NamedTuple):
    """A figure of the headline: its value, its label, and whether it is better or worse; empty if neither."""

    value: str
    label: str
    tone: str = ""


class Cell(NamedTuple):
    """A cell of the table: its value, how it differs from the original's, and whether that is better or worse."""

    text: str
    note: str = ""
    tone: str = ""


def headline(table: Table) -> list[Figure]:
    """Return the result in a few figures: what the found generator saves, and what it costs in quality."""
    by_name = {row.name: row for row in table.rows}
    before, after = by_name.get(ORIGINAL), by_name.get("found")
    if before is None or after is None:
        return []
    pairs = (
        (before.macs.get(table.convention), after.macs.get(table.convention), "fewer MACs", "more MACs"),
        (before.params, after.params, "fewer parameters", "more parameters"),
    )
    figures = [
        Figure(factor(max(old, new), min(old, new)), less if new <= old else more, tone(old, new, "min"))
        for old, new, less, more in pairs
        if old and new
    ]
    if speed := after.speed(before):
        words, _, times = speed.partition(": ")
        how = WORSE if speed.startswith(SLOWER) else BETTER if times else ""
        figures.append(Figure(times or "as fast", words, how))
    for metric in list(after.metrics)[:2]:
        old, new, goal = before.metrics.get(metric), after.metrics[metric], after.goals.get(metric, "")
        words = change(old, new, goal)
        label = f"{title(metric)} {arrow(goal)}".rstrip()
        shown = f"{quality(old)} → {quality(new)}"
        figures.append(Figure(shown, f"{label}: {words}" if words else label, tone(old, new, goal) if words else ""))
    return figures


def tone(before: float | None, after: float | None, goal: str) -> str:
    """Return whether a change is for the better or the worse; empty if there is none, or the goal is unknown."""
    if before is None or after is None or goal not in ("min", "max") or before == after:
        return ""
    if math.isnan(before) or math.isnan(after):
        return "" if math.isnan(before) and math.isnan(after) else WORSE if math.isnan(after) else BETTER
    return BETTER if (after < before) == (goal == "min") else WORSE


def change(before: float | None, after: float | None, goal: str) -> str:
    """Return a change of quality in words: `0.39 better`; empty if nothing changes in the digits that are shown."""
    how = tone(before, after, goal)
    if before is None or after is None or not how or quality(before) == quality(after):
        return ""
    return f"{_two(abs(after - before))} {how}" if math.isfinite(after - before) else how


def _two(value: float) -> str:
    """Return about two digits of a difference, never in powers of ten."""
    return f"{value:.4f}" if value < 1e-3 else f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def marked(table: Table) -> list[list[Cell]]:
    """Return the table with what is better or worse than the original's, in words and as a tone."""
    shown = headings(table.rows, table.convention)
    lines = []
    for row, line in zip(table.rows, cells(table.rows, table.convention), strict=True):
        notes = _notes(table, row)
        lines.append(
            [Cell(text.partition(" (")[0], *notes.get(name, ())) for name, text in zip(shown, line, strict=True)]
        )
    return lines


def _notes(table: Table, row: TableRow) -> dict[str, tuple[str, str]]:
    """Return, by heading, how a row differs from the original of its direction, and whether for the better."""
    old = original_of(row, table.rows)
    if old is None:
        return {}
    notes = {}
    for metric in metrics_of(table.rows):
        before, after, goal = old.metrics.get(metric), row.metrics.get(metric), row.goals.get(metric, "")
        if words := change(before, after, goal):
            notes[heading(table.rows, metric)] = words, tone(before, after, goal)
    costs = {
        f"MACs ({table.convention})": (old.macs.get(table.convention), row.macs.get(table.convention)),
        "params": (old.params, row.params),
        "weights": (old.bytes, row.bytes),
    }
    for name, (before, after) in costs.items():
        if before and after and before != after:
            times = factor(max(before, after), min(before, after))
            notes[name] = f"{times} {'less' if after < before else 'more'}", tone(before, after, "min")
    return {**notes, SPEED: ("", _spoken(row.speed(old)))}


def conventions(table: Table) -> list[list[str]]:
    """Return the MACs of every generator under every convention."""
    names = list(table.rows[0].macs)
    return [["convention", *(row.name for row in table.rows)]] + [
        [name, *(f"{row.macs[name]:,}" if name in row.macs else "-" for row in table.rows)] for name in names
    ]


def ratios(table: Table) -> list[list[Cell]]:
    """Return MACs beside latency, both relative to the original's, in the columns `RATIOS`; none without latencies."""
    if all(row.p50_ms is None for row in table.rows):
        return []
    lines = []
    for row, old in zip(table.rows, originals(table.rows), strict=True):
        if row.params is None:
            continue
        texts = ["", "", ""]
        if old is not None:
            macs = against(old.macs.get(table.convention), row.macs.get(table.convention), FEWER, MORE)
            texts = [macs, row.speed(old), against(old.torch_p50_ms, row.torch_p50_ms)]
        plain = "-" if row.torch_p50_ms is None else f"{row.torch_p50_ms:.4g}"
        lines.append([Cell(row.name), *(Cell(text, tone=_spoken(text)) for text in texts), Cell(plain)])
    return lines


def _spoken(words: str) -> str:
    """Return the tone of words such as `faster: 2.4 times`."""
    return WORSE if words.startswith((SLOWER, MORE)) else BETTER if words.startswith((FASTER, FEWER)) else ""
