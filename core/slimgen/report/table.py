"""The table of before and after: quality, operations, parameters, bytes and time of each generator."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgen.errors import RunError
from slimgen.report.words import amount, arrow, factor, quality, size, title

if TYPE_CHECKING:
    import rich.table

ORIGINAL = "original"
EFFORT = ("updates", "pictures", "training_macs")


@dataclass(frozen=True)
class TableRow:
    """One generator, measured.

    Attributes:
        name: original, found, or a rival's: narrowed, by_hand, random ...; of the reverse direction with `_reverse`.
        metrics: quality on the test images, by metric.
        macs: multiply-accumulates of one image, by convention.
        bytes: of the weights.
        runtime: what the latency was measured in, and with how many threads; empty if it was not measured.
        p50_ms: median milliseconds of one image; None if not measured.
        p95_ms: milliseconds that 95 % of the images stay within; None if not measured.
        updates: generator updates of all trainings that led to it, but for the original's; None if not known.
        pictures: that were made to learn from in them; None if not known.
        training_macs: of making them, forward and back; None if not known.
        run: which run it comes from; empty where there is only one.
        goals: metric to `min` or `max`, whichever is better.
    """

    name: str
    metrics: Mapping[str, float]
    macs: Mapping[str, int]
    params: int
    bytes: int
    runtime: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    updates: int | None = None
    pictures: int | None = None
    training_macs: float | None = None
    run: str = ""
    goals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """What `evaluate` measured of one run: its rows, and how they were measured.

    Attributes:
        rows: the original first.
        convention: how MACs are counted where one figure is shown.
        size: pixels of a side of the images.
        protocol: metric to how it was measured.
        recipe: its name; with the seed, what runs are paired by.
        notes: what must be known to read it, a sentence each.
    """

    rows: tuple[TableRow, ...]
    convention: str = "exact"
    size: int = 0
    protocol: Mapping[str, object] = field(default_factory=dict)
    recipe: str = ""
    seed: int = 0
    notes: tuple[str, ...] = ()


def read_table(path: Path, run: str = "") -> Table:
    """The table that `evaluate` wrote as table.json; its rows bear the name of the run.

    Raises:
        RunError: there is no such file, or it is no such table.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "run `slimgen evaluate`, or `slimgen run`, to the end first"
        raise RunError("a finished run holds evaluate/table.json", f"nothing at {path}", hint) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} must be JSON", error) from error
    return parse_table(value, run, str(path))


def parse_table(value: object, run: str = "", where: str = "a table") -> Table:
    """The table that plain values stand for; as `read_table`."""
    try:
        if not isinstance(value, Mapping):
            raise TypeError(f"{type(value).__name__} instead of an object")
        goals = value.get("goals") or {}
        rows = tuple(_row(entry, run, goals) for entry in value["rows"])
        if not rows:
            raise ValueError("no rows")
        protocol = value.get("protocol") or {}  # of each metric, or one for all of them
        protocol = protocol if isinstance(protocol, Mapping) else {"quality": str(protocol)}
        convention, size = str(value["convention"]), int(value.get("size", 0))
        recipe, seed, notes = str(value.get("recipe", "")), int(value.get("seed", 0)), value.get("notes") or ()
        return Table(rows, convention, size, protocol, recipe, seed, tuple(map(str, notes)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{where} must hold a convention and rows", repr(error), "run `evaluate` again") from error


def _row(entry: Mapping[str, Any], run: str, goals: Mapping[str, str]) -> TableRow:
    latency, effort = entry.get("latency") or {}, {"updates": entry.get("updates"), **(entry.get("effort") or {})}
    threads = latency.get("threads")
    count = [] if threads is None else [f"{threads} thread{'s' if threads != 1 else ''}"]
    p50, p95 = (None if latency.get(key) is None else float(latency[key]) for key in ("p50_ms", "p95_ms"))
    return TableRow(
        name=str(entry["name"]),
        # What is not finite was written as null.
        metrics={name: float("nan") if value is None else float(value) for name, value in entry["metrics"].items()},
        macs={name: int(value) for name, value in entry["macs"].items()},
        params=int(entry["params"]),
        bytes=int(entry["bytes"]),
        runtime=", ".join([*(str(latency[key]) for key in ("runtime", "variant") if latency.get(key)), *count]),
        p50_ms=p50,
        p95_ms=p95,
        **{name: None if effort.get(name) is None else int(effort[name]) for name in EFFORT},
        run=run,
        goals=goals,
    )


def headings(rows: Sequence[TableRow], convention: str) -> list[str]:
    """The columns: run (if there are several), generator, metrics, costs, and latency where it was measured."""
    start = ["run"] if any(row.run for row in rows) else []
    quality = [heading(rows, metric) for metric in metrics_of(rows)]
    found = [*start, "generator", *quality, f"MACs ({convention})", "params", "weights"]
    if any(row.p50_ms is not None for row in rows):
        found.append("p50 / p95 ms")
    if any(row.training_macs for row in rows):
        found.append("training MACs")
    return [*found, "updates"] if any(row.updates is not None for row in rows) else found


def cells(rows: Sequence[TableRow], convention: str) -> list[list[str]]:
    """The table as text, a line for each row; costs with their factor against the original of the same run."""
    originals = {row.run: row for row in rows if row.name == ORIGINAL}
    shown = headings(rows, convention)
    lines = []
    for row in rows:
        before = originals.get(row.run)
        old = before if before is not None and before is not row else None
        line = [row.run] if shown[0] == "run" else []
        line += [row.name, *(quality(row.metrics.get(metric)) for metric in metrics_of(rows))]
        macs = row.macs.get(convention)
        line.append(_with_factor(amount(macs), old.macs.get(convention) if old else None, macs))
        line.append(_with_factor(amount(row.params), old.params if old else None, row.params))
        line.append(_with_factor(size(row.bytes), old.bytes if old else None, row.bytes))
        if any(heading.startswith("p50") for heading in shown):
            time = "-" if row.p50_ms is None else f"{row.p50_ms:.4g} / {row.p95_ms or 0:.4g}"
            line.append(_with_factor(time, old.p50_ms if old else None, row.p50_ms))
        if "training MACs" in shown:
            line.append(amount(row.training_macs or None))
        if shown[-1] == "updates":
            line.append("-" if row.updates is None else f"{row.updates:,}")
        lines.append(line)
    return lines


def rows_table(
    rows: Sequence[TableRow], title: str, convention: str = "exact", notes: Sequence[str] = ()
) -> "rich.table.Table":
    """The table for a terminal: factors against the original beside each cost, and notes below."""
    from rich.box import SIMPLE
    from rich.table import Table as Terminal

    below: dict[str, Any] = {"caption": "\n".join(notes) or None, "caption_justify": "left"}
    table = Terminal(title=title, title_justify="left", title_style="bold", box=SIMPLE, padding=(0, 1, 0, 0), **below)
    for heading in headings(rows, convention):
        words = heading in ("run", "generator")
        table.add_column(heading, justify="left" if words else "right", no_wrap=words, style="bold" * words)
    for row, line in zip(rows, cells(rows, convention), strict=True):
        table.add_row(*line, style="green" if row.name == "found" else None)
    return table


def markdown_table(rows: Sequence[TableRow], convention: str = "exact", notes: Sequence[str] = ()) -> str:
    """The same as a Markdown table, and its notes as a list."""
    shown = headings(rows, convention)
    rule = [":--" if heading in ("run", "generator") else "--:" for heading in shown]
    lines = "".join(f"| {' | '.join(line)} |\n" for line in (shown, rule, *cells(rows, convention)))
    return lines + "".join(f"\n- {note}" for note in notes) + "\n" * bool(notes)


def notes_of(tables: Sequence[Table]) -> list[str]:
    """The notes of several tables, each once; of several runs with the names of those that it is of."""
    names = {
        note: [table.rows[0].run for table in tables if note in table.notes] for one in tables for note in one.notes
    }
    return [
        f"{', '.join(runs)}: {note}" if runs[0] and len(runs) < len(tables) else note for note, runs in names.items()
    ]


def metrics_of(rows: Sequence[TableRow]) -> list[str]:
    """Every metric that some row has, in the order of first mention."""
    return list(dict.fromkeys(metric for row in rows for metric in row.metrics))


def heading(rows: Sequence[TableRow], metric: str) -> str:
    """A metric as it is written in print, with an arrow that says which way is better."""
    goal = next((row.goals[metric] for row in rows if metric in row.goals), "")
    return f"{title(metric)} {arrow(goal)}".rstrip()


def _with_factor(text: str, before: float | None, after: float | None) -> str:
    times = factor(before, after)
    return f"{text} ({times})" if times else text
