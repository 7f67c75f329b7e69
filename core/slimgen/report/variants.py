"""Variants of an exported generator: the same network in float32, in half precision, in eight bits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slimgen.errors import printable
from slimgen.files import CARD, REVERSE, of_direction, read_json
from slimgen.report.result import Cell, change, tone
from slimgen.report.words import arrow, quality, size, title
from slimgen.text import markdown

if TYPE_CHECKING:
    import rich.table

RECOMMENDED = "recommended"
SHOWN = 2
"""Number of metrics in a terminal's table, where every column counts."""


@dataclass(frozen=True)
class Variant:
    """One exported file of a generator, as its card describes it.

    Attributes:
        name: fp32, fp16 or int8.
        file: name of the file beside the card.
        bytes: its size; None if unknown.
        quality: value of each metric on the test images.
        change: these values minus those of fp32.
        p50_ms: median milliseconds per image; None if not measured.
        p95_ms: 95th percentile of the milliseconds per image; None if not measured.
        max_abs: largest difference from the PyTorch network's outputs, in [-1, 1]; None if not measured.
        recommended: whether it is the one to take.
        run: name of the run.
        direction: empty, or the suffix of the reverse direction.
    """

    name: str
    file: str
    bytes: int | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    change: Mapping[str, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    max_abs: float | None = None
    recommended: bool = False
    run: str = ""
    direction: str = ""

    @property
    def title(self) -> str:
        """Name of the variant, with its direction if that is the reverse one."""
        return f"{self.name}, reverse" if self.direction else self.name

    @property
    def time(self) -> str:
        """Return the latency as text: `6.8 / 7.1`."""
        if self.p50_ms is None:
            return "-"
        return f"{self.p50_ms:.4g}" if self.p95_ms is None else f"{self.p50_ms:.4g} / {self.p95_ms:.4g}"


def parse_variants(value: object, run: str = "", direction: str = "") -> list[Variant]:
    """Return the variants of a card's JSON; none for what is no list of them, as in cards of older versions."""
    found = []
    for entry in value if isinstance(value, list | tuple) else ():
        if not isinstance(entry, Mapping) or "name" not in entry:
            continue
        numbers = {name: _number(entry.get(name)) for name in ("p50_ms", "p95_ms", "max_abs")}
        count = _number(entry.get("bytes"))
        found.append(
            Variant(
                name=str(entry["name"]),
                file=str(entry.get("file", "")),
                bytes=None if count is None else int(count),
                quality=_numbers(entry.get("quality")),
                change=_numbers(entry.get("change")),
                **numbers,
                recommended=entry.get("recommended") is True,
                run=run,
                direction=direction,
            )
        )
    return found


def read_variants(run: Path, name: str = "") -> list[Variant]:
    """Return the variants that a run exported, of both directions; none if it exported none."""
    found = []
    for suffix in ("", REVERSE):
        card = read_json((run / "export" / of_direction(CARD, suffix)).with_suffix(".json"))
        found += parse_variants(card.get("variants"), name, suffix) if isinstance(card, Mapping) else []
    return found


def _numbers(value: object) -> dict[str, float]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {str(name): number for name, each in pairs if (number := _number(each)) is not None}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class Shown(NamedTuple):
    """The variants of one generator for the page: headings, and for each variant a line of cells."""

    headings: list[str]
    lines: list[tuple[Variant, list[Cell]]]


def shown(variants: Sequence[Variant], goals: Mapping[str, str]) -> Shown:
    """Return variants with their quality beside fp32's; `goals` say which change is for the better.

    The first column, the name, and the last, the file, are not among the cells.
    """
    metrics = list(dict.fromkeys(metric for one in variants for metric in one.quality))
    headings = ["size", *(_heading(metric, goals) for metric in metrics), "p50 / p95 ms", "apart from PyTorch"]
    lines = []
    for one in variants:
        apart = "-" if one.max_abs is None else f"{one.max_abs:.2g}"
        measured = [_cell(one, metric, goals.get(metric, "")) for metric in metrics]
        lines.append((one, [Cell(_size(one)), *measured, Cell(one.time), Cell(apart)]))
    return Shown(headings, lines)


def _cell(one: Variant, metric: str, goal: str) -> Cell:
    """Return a value with its change; without a known goal, the change has a sign instead of a word."""
    value, apart = one.quality.get(metric), one.change.get(metric)
    if value is None or not apart:
        return Cell(quality(value))
    before = value - apart
    if goal:
        words = change(before, value, goal)
        return Cell(quality(value), words, tone(before, value, goal) if words else "")
    return Cell(quality(value), f"{apart:+.2g}" if quality(before) != quality(value) else "")


def _size(one: Variant) -> str:
    return "-" if one.bytes is None else size(one.bytes)


def _heading(metric: str, goals: Mapping[str, str]) -> str:
    return f"{title(metric)} {arrow(goals.get(metric))}".rstrip()


def _lines(variants: Sequence[Variant], goals: Mapping[str, str]) -> list[list[str]]:
    """Return headings and lines of a table of few columns: run if there are several, size, quality, milliseconds."""
    runs = [["run"]] if any(one.run for one in variants) else []
    metrics = list(dict.fromkeys(metric for one in variants for metric in one.quality))[:SHOWN]
    lines = [[*(name for (name,) in runs), "variant", "size", *(_heading(m, goals) for m in metrics), "p50 ms", "take"]]
    for one in variants:
        time = "-" if one.p50_ms is None else f"{one.p50_ms:.4g}"
        measured = [quality(one.quality.get(metric)) for metric in metrics]
        start = [one.run] if runs else []
        lines.append([*start, one.title, _size(one), *measured, time, RECOMMENDED if one.recommended else ""])
    return lines


def variants_table(variants: Sequence[Variant], goals: Mapping[str, str]) -> "rich.table.Table":
    """Return the variants as a table for a terminal, in green the recommended ones."""
    from rich.box import SIMPLE
    from rich.table import Table as Terminal
    from rich.text import Text

    head, *lines = _lines(variants, goals)
    table = Terminal(
        title="exported variants, measured in onnxruntime",
        **{"title_justify": "left", "title_style": "bold", "box": SIMPLE, "padding": (0, 1, 0, 0)},  # type: ignore[arg-type]
    )
    for name in head:
        words = name in ("run", "variant", "take")
        alone = name != "run"  # its name may be long, and is better broken than cut
        table.add_column(Text(name), justify="left" if words else "right", no_wrap=alone, overflow="fold")
    for one, line in zip(variants, lines, strict=True):
        table.add_row(*(Text(printable(cell)) for cell in line), style="green" if one.recommended else None)
    return table


def variants_markdown(variants: Sequence[Variant], goals: Mapping[str, str]) -> str:
    """Return the same as a Markdown table."""
    head, *lines = ([markdown(cell) for cell in line] for line in _lines(variants, goals))
    rule = [":--" if name in ("run", "variant", "take") else "--:" for name in head]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))
