"""The diagrams of the site, drawn from the code: SVG in the text's own colours, legible on a phone."""

import tomllib
from collections.abc import Iterable
from html import escape
from pathlib import Path

from slimgen.stages.table import DATA, STAGES

ROOT = Path(__file__).parents[1]
WIDE = 420  # units of a drawing; on a phone one is a little less than a pixel
ROW, TEXT, SMALL = 34, 14, 12
ACCENT = "var(--md-accent-fg-color)"


def stages() -> str:
    """Each stage as a row, its folder as a line down to those that read it."""
    names = [DATA, *STAGES]
    reads = {name: STAGES[name].reads if name in STAGES else () for name in names}
    lanes = {name: 150 + 34 * number for number, name in enumerate(names[:-1])}
    parts = []
    for number, name in enumerate(names):
        y = 24 + ROW * number
        parts += [label(12, y, name, bold=name in STAGES)]
        if name in lanes:
            last = max(row for row, other in enumerate(names) if name in reads[other])
            parts += [line(110, y, lanes[name], y), line(lanes[name], y, lanes[name], 24 + ROW * last)]
            parts += [dot(lanes[name], y, filled=False)]
        parts += [dot(lanes[other], y) for other in reads[name]]
    caption = "○ a folder is written   ● it is read"
    parts += [label(12, 24 + ROW * len(names), caption, size=SMALL)]
    return drawing(parts, 24 + ROW * len(names) + 14, "The seven stages, and the folders that each reads")


def layers() -> str:
    """The contract of the import linter, from the top down."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = [[name.strip().removeprefix("slimgen.") for name in line.split("|")] for line in found]
    rows = [row for row in rows if row != ["__main__"]]
    parts, y = [], 8
    for number, row in enumerate(rows):
        lines = list(_wrapped(row, 4))
        high = 22 * len(lines) + 10
        parts += [f'<rect x="30" y="{y}" width="380" height="{high}" rx="5" fill="{ACCENT}" fill-opacity="0.12"/>']
        for place, names in enumerate(lines):
            parts += [label(220, y + 20 + 22 * place, "   ".join(names), middle=True)]
        if number:
            parts += [line(16, y - 8, 16, y + 6), arrow(16, y + 6)]
        y += high + 8
    return drawing(parts, y, "The layers of the library; an import may only point down")


def loops() -> str:
    """The loop that trains and the loop that searches."""
    fit = ["draw: step → architectures", "batch: step → images", "each phase: loss, gradients, step", "log, checkpoint"]
    explore = [
        "searcher asks for genotypes",
        "measured: cache, processes",
        "searcher is told trials",
        "a line in the log",
    ]
    parts = []
    for x, title, steps in ((8, "fit", fit), (216, "explore", explore)):
        parts += [label(x + 98, 20, title, bold=True, middle=True)]
        for number, step in enumerate(steps):
            y = 34 + 46 * number
            parts += [
                f'<rect x="{x}" y="{y}" width="196" height="30" rx="5" fill="{ACCENT}" fill-opacity="0.12"/>',
                label(x + 98, y + 20, step, middle=True, size=SMALL),
            ]
            if number:
                parts += [line(x + 98, y - 16, x + 98, y - 6), arrow(x + 98, y - 2)]
        y = 34 + 46 * len(steps) - 8
        again = "next step" if title == "fit" else "next round"
        parts += [label(x + 98, y + 8, f"↺ {again}", middle=True, size=SMALL)]
    return drawing(parts, 34 + 46 * 4 + 14, "The loop that trains, fit, and the loop that searches, explore")


def drawing(parts: Iterable[str], height: int, title: str) -> str:
    """One figure as a block of HTML."""
    inside = "".join(parts)
    svg = f'<svg viewBox="0 0 {WIDE} {height}" role="img" aria-label="{escape(title)}">{inside}</svg>'
    return f'<div class="drawing">{svg}</div>'


def label(x: int, y: int, text: str, *, bold: bool = False, middle: bool = False, size: int = TEXT) -> str:
    """A line of text, whose foot is a little below y."""
    anchor = ' text-anchor="middle"' if middle else ""
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x}" y="{y if middle else y + 5}" font-size="{size}" fill="currentColor" xml:space="preserve"'
        f"{anchor}{weight}>{escape(text)}</text>"
    )


def line(x1: int, y1: int, x2: int, y2: int) -> str:
    """A thin line."""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="currentColor" stroke-opacity="0.45"/>'


def arrow(x: int, y: int) -> str:
    """The head of an arrow that points down."""
    return f'<path d="M{x - 4},{y - 4} L{x + 4},{y - 4} L{x},{y + 3} Z" fill="currentColor" fill-opacity="0.6"/>'


def dot(x: int, y: int, filled: bool = True) -> str:
    """A knot of a line: filled where a folder is read, hollow where it is written."""
    fill = ACCENT if filled else "var(--md-default-bg-color)"
    return f'<circle cx="{x}" cy="{y}" r="5" fill="{fill}" stroke="{ACCENT}" stroke-width="2"/>'


def _wrapped(names: list[str], most: int) -> Iterable[list[str]]:
    for start in range(0, len(names), most):
        yield names[start : start + most]
