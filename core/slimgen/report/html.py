"""The report of a run: one HTML file that stands alone, with its pictures inside."""

import base64
import io
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from slimgen.errors import RunError, SlimgenError
from slimgen.files import write_text
from slimgen.report.charts import training_chart
from slimgen.report.facts import gather
from slimgen.report.table import Table, cells, headings, parse_table
from slimgen.report.words import factor, generator, number, quality, seconds, title

TEMPLATE = Path(__file__).with_name("report.html")
PLACES = ("grid", "pareto", "architecture")


class Picture(NamedTuple):
    """A picture inside the report: its name, and its content as a data URI."""

    name: str
    source: str


def write_report(path: Path, facts: Mapping[str, object], pictures: Mapping[str, Path]) -> None:
    """Writes the report.

    Args:
        path: the HTML file.
        facts: what is known of the run: `table` (what table.json holds), and all that `slimgen.report.facts.gather`
            names; what is missing is left out of the report.
        pictures: `grid`, `pareto`, `architecture`, and any others, which come last. Losses are drawn from the logs.

    Raises:
        RunError: a picture that is not there, a damaged table, or the report cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, seconds=seconds)
    table = parse_table(facts["table"]) if facts.get("table") else None
    story = gather(facts, table)
    logs = story["logs"]
    assert isinstance(logs, dict)
    inline = {name: Picture(name, _inline(file)) for name, file in pictures.items()}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        story=story,
        table=table,
        headings=headings(table.rows, table.convention) if table else [],
        cells=cells(table.rows, table.convention) if table else [],
        conventions=_conventions(table) if table else [],
        generators={row.name: words for row in table.rows if (words := generator(row.name))} if table else {},
        headline=_headline(table) if table else [],
        pictures={place: inline.get(place) for place in PLACES},
        trainings=[picture for name, lines in logs.items() for picture in _losses(name, lines)],
        others=[picture for name, picture in inline.items() if name not in PLACES],
    )
    write_text(path, text)


def _inline(file: Path) -> str:
    """A picture as a data URI."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"the report shows {file}", error.strerror or error) from error
    return _uri(content, mimetypes.guess_type(file.name)[0] or "image/png")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _losses(name: str, lines: list[Mapping[str, object]]) -> list[Picture]:
    """The chart of one training; none where it logged no losses."""
    drawn = io.BytesIO()
    try:
        training_chart(lines, drawn)
    except SlimgenError:
        return []
    return [Picture(name, _uri(drawn.getvalue(), "image/png"))]


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
