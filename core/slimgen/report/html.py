"""The report of a run: one HTML file that stands alone, with its pictures inside."""

import base64
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from slimgen.errors import RunError
from slimgen.report.table import Table, cells, factor, headings, parse_table, quality, title

TEMPLATE = Path(__file__).with_name("report.html")
PLACES = ("grid", "pareto", "architecture")
TRAINING = "training"


class Picture(NamedTuple):
    """A picture inside the report: its name, and its content as a data URI."""

    name: str
    source: str


def write_report(path: Path, facts: Mapping[str, object], pictures: Mapping[str, Path]) -> None:
    """Writes the report.

    Args:
        path: the HTML file.
        facts: what is known of the run; whatever is missing is left out of the report:
            `name`, `about`, `task`, `method`, `recipe` (YAML text); `table` (what table.json holds: see
            `slimgen.report.table`); `budget` (limits by kind); `objective` (metric and images); `search` (sizes of
            spaces, evaluations, `seconds` and `seconds.<step>`); `genotype`; `stages` (stage to seconds); `data`
            (numbers of images, layout, licence ...); `versions`; `machine`.
        pictures: `grid`, `pareto`, `architecture`, `training` or `training: <which>`, and any others, which come last.

    Raises:
        RunError: a picture that is not there, or the report cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, seconds=seconds, plain=_plain)
    inline = {name: Picture(name, _inline(file)) for name, file in pictures.items()}
    trainings = [picture for name, picture in inline.items() if name.startswith(TRAINING)]
    others = [picture for name, picture in inline.items() if name not in PLACES and not name.startswith(TRAINING)]
    table = parse_table(facts["table"]) if facts.get("table") else None
    known = ("name", "about", "task", "method", "recipe")
    sections = ("budget", "objective", "search", "genotype", "stages", "data", "versions", "machine")
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        **{key: str(facts.get(key, "") or "") for key in known},
        **{key: _mapping(facts.get(key)) for key in sections},
        table=table,
        headings=headings(table.rows, table.convention) if table else [],
        cells=cells(table.rows, table.convention) if table else [],
        conventions=_conventions(table) if table else [],
        headline=_headline(table) if table else [],
        pictures=inline,
        trainings=trainings,
        others=others,
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError("the report must be written", error, "free some space, or choose another --out") from error


def number(value: object) -> str:
    """A value for people: whole numbers in groups of three, others to four digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _plain(value)
    if value != value or value in (float("inf"), float("-inf")):
        return "-"
    if value == int(value):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.3g}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def seconds(value: object) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _plain(value)
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _plain(value: object) -> str:
    """Nested values on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {number(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    return "-" if value is None else str(value)


def _mapping(value: object) -> dict[str, object]:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _inline(file: Path) -> str:
    """A picture as a data URI."""
    kind = mimetypes.guess_type(file.name)[0] or "image/png"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"the report shows {file}", error.strerror or error) from error
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _conventions(table: Table) -> list[list[str]]:
    """MACs of every generator under every convention."""
    names = list(table.rows[0].macs)
    return [["convention", *(row.name for row in table.rows)]] + [
        [name, *(f"{row.macs[name]:,}" if name in row.macs else "-" for row in table.rows)] for name in names
    ]


def _headline(table: Table) -> list[tuple[str, str]]:
    """The result in a few figures: what the found generator saves, and what it costs in quality."""
    by_name = {row.name: row for row in table.rows}
    before, after = by_name.get("original"), by_name.get("found")
    if before is None or after is None:
        return []
    pairs = (
        (before.macs.get(table.convention), after.macs.get(table.convention), "fewer MACs", "more MACs"),
        (before.params, after.params, "fewer parameters", "more parameters"),
        (before.p50_ms, after.p50_ms, "faster", "slower"),
    )
    figures = [
        (factor(max(old, new), min(old, new)), less if new <= old else more)
        for old, new, less, more in pairs
        if old and new
    ]
    for metric in list(after.metrics)[:2]:
        change = f"{quality(before.metrics.get(metric))} → {quality(after.metrics[metric])}"
        figures.append((change, title(metric)))
    return figures
