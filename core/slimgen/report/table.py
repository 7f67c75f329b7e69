"""Table of all generators: quality, operations, parameters, bytes and time of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgen.errors import RunError, printable
from slimgen.files import REVERSE
from slimgen.report.words import against, arrow, factor, quality, size, title
from slimgen.size import Size
from slimgen.text import amount, markdown

if TYPE_CHECKING:
    import rich.table

ORIGINAL = "original"
EFFORT = ("updates", "pictures", "training_macs")
TIME, SPEED = "p50 / p95 ms", "speed"
FASTER, SLOWER = "faster", "slower"
"""First words of the texts for a higher and a lower speed."""
MARK, APART = "~", 0.1
"""Mark before a latency, if the medians of the two halves of its rounds differ by more than this share."""


@dataclass(frozen=True)
class TableRow:
    """Measurements of one generator.

    Attributes:
        name: original, found, or a rival (narrowed, by_hand, random ...); with `_reverse` for the reverse direction.
        metrics: quality on the test images, by metric.
        macs: multiply-accumulates of one image, by convention.
        params: number of parameters; None for a row without a generator, which has no costs.
        bytes: size of the weights.
        runtime: runtime and threads of the latency, with the reason if it is PyTorch's for want of onnxruntime's; empty
            if not measured.
        p50_ms: median milliseconds per image, of the exported form in onnxruntime if that could be measured; None if
            nothing was measured.
        p95_ms: 95th percentile of the milliseconds per image; None if not measured.
        first_half_ms: median of the first half of the rounds in which all rows took turns; None if they did not.
        second_half_ms: likewise of the second half.
        torch_p50_ms: median milliseconds per image in PyTorch; None if not measured.
        torch_runtime: version, device and threads of PyTorch.
        updates: generator updates of all trainings that led to it, without the original's; None if unknown.
        pictures: images generated in these trainings; None if unknown.
        training_macs: MACs of generating them, forward and backward passes; None if unknown.
        run: name of its run; empty if there is only one run.
        goals: `min` or `max` by metric, whichever is better.
    """

    name: str
    metrics: Mapping[str, float]
    macs: Mapping[str, int]
    params: int | None
    bytes: int | None
    runtime: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    first_half_ms: float | None = None
    second_half_ms: float | None = None
    torch_p50_ms: float | None = None
    torch_runtime: str = ""
    updates: int | None = None
    pictures: int | None = None
    training_macs: float | None = None
    run: str = ""
    goals: Mapping[str, str] = field(default_factory=dict)

    @property
    def time(self) -> str:
        """Return the displayed latency, with a mark if the two halves of the rounds differ too much."""
        if self.p50_ms is None:
            return "-"
        halves = [half for half in (self.first_half_ms, self.second_half_ms) if half]
        mark = MARK if halves and max(halves) > (1 + APART) * min(halves) else ""
        whole = f"{self.p50_ms:.4g}"
        places = len(whole.partition(".")[2]) if "e" not in whole else 0
        return f"{mark}{whole} / {self.p95_ms or 0:.{places}f}"

    def speed(self, original: "TableRow") -> str:
        """Return the latency relative to the original's in words; PyTorch's if only one of them ran in onnxruntime."""
        if self.runtime.partition(" ")[0] == original.runtime.partition(" ")[0]:
            return against(original.p50_ms, self.p50_ms)
        words = against(original.torch_p50_ms, self.torch_p50_ms)
        return f"{words}, both in PyTorch" if words else ""


@dataclass(frozen=True)
class Table:
    """Measurements of `evaluate` for one run: rows, and the conditions of measurement.

    Attributes:
        rows: the original first.
        convention: MAC convention, where only one figure is shown.
        size: size of the images; None if unknown.
        protocol: how each metric was measured.
        recipe: its name; runs are paired by recipe and seed.
        notes: facts that readers must know, a sentence each.
    """

    rows: tuple[TableRow, ...]
    convention: str = "exact"
    size: Size | None = None
    protocol: Mapping[str, object] = field(default_factory=dict)
    recipe: str = ""
    seed: int = 0
    notes: tuple[str, ...] = ()


def read_table(path: Path, run: str = "") -> Table:
    """Read the table that `evaluate` wrote as table.json; its rows get the name of the run.

    Raises:
        RunError: the file is missing, or holds no table.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "run `slimgen evaluate`, or `slimgen run`, to the end first"
        raise RunError("a finished run must hold evaluate/table.json", f"nothing at {path}", hint) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} must be JSON", error) from error
    return parse_table(value, run, str(path))


def parse_table(value: object, run: str = "", where: str = "a table") -> Table:
    """Parse a table from plain values, as `read_table` does from a file."""
    try:
        if not isinstance(value, Mapping):
            raise TypeError(f"{type(value).__name__} instead of an object")
        goals = value.get("goals") or {}
        rows = tuple(_row(entry, run, goals) for entry in value["rows"])
        if not rows:
            raise ValueError("no rows")
        protocol = value.get("protocol") or {}  # one per metric, or one for all of them
        protocol = protocol if isinstance(protocol, Mapping) else {"quality": str(protocol)}
        convention, size = str(value["convention"]), Size.of(value["size"]) if value.get("size") else None
        recipe, seed, notes = str(value.get("recipe", "")), int(value.get("seed", 0)), value.get("notes") or ()
        return Table(rows, convention, size, protocol, recipe, seed, tuple(map(str, notes)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{where} must hold a convention and rows", repr(error), "run `evaluate` again") from error


def _row(entry: Mapping[str, Any], run: str, goals: Mapping[str, str]) -> TableRow:
    latency, effort = entry.get("latency") or {}, {"updates": entry.get("updates"), **(entry.get("effort") or {})}
    # Older tables hold only PyTorch's latency.
    torch = entry.get("torch_latency") or (latency if str(latency.get("runtime")).startswith("torch") else {})
    names = ("p50_ms", "p95_ms", "first_half_ms", "second_half_ms")
    times: dict[str, Any] = {name: None if latency.get(name) is None else float(latency[name]) for name in names}
    return TableRow(
        name=str(entry["name"]),
        # Infinity and NaN were written as null.
        metrics={name: float("nan") if value is None else float(value) for name, value in entry["metrics"].items()},
        macs={name: int(value) for name, value in entry["macs"].items()},
        params=None if entry["params"] is None else int(entry["params"]),
        bytes=None if entry["bytes"] is None else int(entry["bytes"]),
        runtime=_runtime(latency),
        **times,
        torch_p50_ms=None if torch.get("p50_ms") is None else float(torch["p50_ms"]),
        torch_runtime=_runtime(torch),
        **{name: None if effort.get(name) is None else int(effort[name]) for name in EFFORT},
        run=run,
        goals=goals,
    )


def _runtime(latency: Mapping[str, Any]) -> str:
    """Return the runtime of a latency in words; for PyTorch's, with the reason why onnxruntime's is missing."""
    threads = latency.get("threads")
    count = [] if threads is None else [f"{threads} thread{'s' if threads != 1 else ''}"]
    words = ", ".join([*(str(latency[key]) for key in ("runtime", "variant") if latency.get(key)), *count])
    return f"{words}, as {latency['instead']}" if latency.get("instead") else words


def headings(rows: Sequence[TableRow], convention: str) -> list[str]:
    """Return the columns: run (if there are several), generator, metrics, costs, and latency if it was measured."""
    start = ["run"] if any(row.run for row in rows) else []
    quality = [heading(rows, metric) for metric in metrics_of(rows)]
    found = [*start, "generator", *quality, f"MACs ({convention})", "params", "weights"]
    if any(row.p50_ms is not None for row in rows):
        found += [TIME, *([SPEED] if any(_speeds(rows)) else [])]
    if any(row.training_macs for row in rows):
        found.append("training MACs")
    return [*found, "updates"] if any(row.updates is not None for row in rows) else found


def cells(rows: Sequence[TableRow], convention: str) -> list[list[str]]:
    """Return the table as text, one line per row; costs have their factor relative to the original of the run."""
    shown = headings(rows, convention)
    lines = []
    for row, old, speed in zip(rows, originals(rows), _speeds(rows), strict=True):
        line = [row.run] if shown[0] == "run" else []
        line += [row.name, *(quality(row.metrics.get(metric)) for metric in metrics_of(rows))]
        macs = row.macs.get(convention)
        line.append(_with_factor(amount(macs), old.macs.get(convention) if old else None, macs))
        line.append(_with_factor(amount(row.params), old.params if old else None, row.params))
        line.append(_with_factor("-" if row.bytes is None else size(row.bytes), old.bytes if old else None, row.bytes))
        line += [text for text, heading in ((row.time, TIME), (speed, SPEED)) if heading in shown]
        if "training MACs" in shown:
            line.append(amount(row.training_macs or None))
        if shown[-1] == "updates":
            line.append("-" if row.updates is None else f"{row.updates:,}")
        lines.append(line)
    return lines


def originals(rows: Sequence[TableRow]) -> list[TableRow | None]:
    """Return, for each row, the original of the same run and direction; None for an original, and if there is none."""
    return [original_of(row, rows) for row in rows]


def original_of(row: TableRow, rows: Sequence[TableRow]) -> TableRow | None:
    """Return the original of a row's run and direction; None for an original itself, and if there is none."""
    name = f"{ORIGINAL}{REVERSE if row.name.endswith(REVERSE) else ''}"
    found = next((one for one in rows if (one.run, one.name) == (row.run, name)), None)
    return None if found is row else found


def _speeds(rows: Sequence[TableRow]) -> list[str]:
    return [row.speed(old) if old else "" for row, old in zip(rows, originals(rows), strict=True)]


def legend(rows: Sequence[TableRow]) -> list[str]:
    """Return notes on the latencies in sentences: the runtime, and the meaning of a mark."""
    runtimes: dict[str, list[str]] = {}
    for row in rows:
        if row.runtime:
            runtimes.setdefault(row.runtime, []).append(f"{row.run} {row.name}".strip())
    lines, turns = [], ", in turns," if all(row.first_half_ms for row in rows if row.runtime) else ""
    if runtimes:
        common = max(runtimes, key=lambda words: len(runtimes[words]))
        others = [f"; of {', '.join(names)} in {words}" for words, names in runtimes.items() if words != common]
        lines.append(f"Latency: one image at a time{turns} in {common}{''.join(others)}.")
    if any(row.time.startswith(MARK) for row in rows):
        what = f"the medians of the two halves of its rounds are more than {APART:.0%} apart"
        lines.append(f"{MARK} marks an unstable latency: {what}. Measure it again on an idle machine.")
    return lines


def rows_table(
    rows: Sequence[TableRow], title: str, convention: str = "exact", notes: Sequence[str] = ()
) -> "rich.table.Table":
    """Return the table for a terminal: factors beside each cost, slower generators in red, notes below."""
    from rich.box import SIMPLE
    from rich.table import Table as Terminal
    from rich.text import Text

    table = Terminal(
        title=Text(printable(title)), title_justify="left", title_style="bold", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    below = [Text(printable(line)) for line in (*legend(rows), *notes)]
    table.caption, table.caption_justify = Text("\n").join(below) if below else None, "left"
    shown = headings(rows, convention)
    for heading in shown:
        words = heading in ("run", "generator")
        table.add_column(Text(heading), justify="left" if words else "right", no_wrap=words, style="bold" * words)
    for row, line in zip(rows, cells(rows, convention), strict=True):
        colours = ["red" if (name, cell[:6]) == (SPEED, SLOWER) else "" for name, cell in zip(shown, line, strict=True)]
        table.add_row(*map(Text, map(printable, line), colours), style="green" if row.name == "found" else None)
    return table


def markdown_table(rows: Sequence[TableRow], convention: str = "exact", notes: Sequence[str] = ()) -> str:
    """Return the same as a Markdown table, with the legend and the notes below it."""
    shown = headings(rows, convention)
    rule = [":--" if heading in ("run", "generator") else "--:" for heading in shown]
    lines = [map(markdown, line) for line in (shown, *cells(rows, convention))]
    table = "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))
    below = [*legend(rows), *(["\n".join(f"- {note}" for note in notes)] if notes else [])]
    return "\n".join([table, *(f"{paragraph}\n" for paragraph in below)])


def notes_of(tables: Sequence[Table]) -> list[str]:
    """Return the notes of several tables, each once; for several runs, with the names of the runs."""
    names = {
        note: [table.rows[0].run for table in tables if note in table.notes] for one in tables for note in one.notes
    }
    return [
        f"{', '.join(runs)}: {note}" if runs[0] and len(runs) < len(tables) else note for note, runs in names.items()
    ]


def metrics_of(rows: Sequence[TableRow]) -> list[str]:
    """Return every metric in the rows, in the order of first mention.

    Where named sets of test images have values of their own, such as `psnr_y/set5`, they stand for the mean over all.
    """
    found = list(dict.fromkeys(metric for row in rows for metric in row.metrics))
    apart = {metric.partition("/")[0] for metric in found if "/" in metric}
    return [metric for metric in found if metric not in apart]


def heading(rows: Sequence[TableRow], metric: str) -> str:
    """Return a metric's printed name with an arrow for its better direction."""
    goal = next((row.goals[metric] for row in rows if metric in row.goals), "")
    return f"{title(metric)} {arrow(goal)}".rstrip()


def _with_factor(text: str, before: float | None, after: float | None) -> str:
    times = factor(before, after)
    return f"{text} ({times})" if times else text
