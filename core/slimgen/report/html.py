"""The report of a run: one HTML file with its pictures inside."""

import base64
import io
import mimetypes
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slimgen.errors import RunError, SlimgenError
from slimgen.files import write_text
from slimgen.report.charts import training_chart
from slimgen.report.front import Spot, front_chart
from slimgen.report.gallery import Gallery, cells_of
from slimgen.report.story import conventions, gather, headline, ratios, values_of
from slimgen.report.table import cells, headings, legend, parse_table
from slimgen.report.words import generator, number, seconds
from slimgen.search import Objective, Trial

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
PLACES = ("grid", "pareto", "architecture")


class Marks(NamedTuple):
    """Comments around a section that can be rewritten by itself."""

    begin: str
    end: str


EXPORTED = Marks("<!-- exported: begins -->", "<!-- exported: ends -->")
PICTURES = Marks("<!-- pictures: begin -->", "<!-- pictures: end -->")


class Picture(NamedTuple):
    """A picture inside the report: its name, and its content as a data URI."""

    name: str
    source: str


class Exported(NamedTuple):
    """An exported generator: its file and its card beside the report, and its measured values by label."""

    name: str
    card: str
    measured: Mapping[str, str]


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, seconds=seconds)
    return environment


def write_report(
    path: Path,
    facts: Mapping[str, object],
    pictures: Mapping[str, Path],
    galleries: Sequence[Gallery] | None = (),
) -> None:
    """Write the report.

    Args:
        path: the HTML file.
        facts: any of `label` (name and licence of the run), `recipe` (a Recipe), `stages` (content of stage.json, by
            stage), `logs` (lines of each log, by training), `table`, `genotype` and `manifest` (content of their JSON
            files), `trials` (lines of trials.jsonl), `compute` (device and number type, as text); missing ones are left
            out of the report.
        pictures: `grid`, `pareto`, `architecture`, and any others, which come last. Losses are drawn from the logs, and
            the chart of the search from the trials; `pareto` is shown only if there are no trials.
        galleries: pictures of single images; without any, the grid is shown. None keeps the pictures of the present
            report.

    Raises:
        RunError: a picture is missing, the table is damaged, or the report cannot be written.
    """
    table = parse_table(facts["table"]) if facts.get("table") else None
    story = gather(facts, table)
    logs = story["logs"]
    assert isinstance(logs, dict)
    inline = {name: Picture(name, _inline(file)) for name, file in pictures.items()}
    front, spots = _front(facts)
    text = (
        _environment()
        .get_template("report.html")
        .render(
            story=story,
            table=table,
            headings=headings(table.rows, table.convention) if table else [],
            cells=cells(table.rows, table.convention) if table else [],
            legend=legend(table.rows) if table else [],
            ratios=ratios(table) if table else [],
            conventions=conventions(table) if table else [],
            generators={row.name: words for row in table.rows if (words := generator(row.name))} if table else {},
            headline=headline(table) if table else [],
            galleries=[(gallery, cells_of(gallery)) for gallery in galleries or ()],
            pictures={**{place: inline.get(place) for place in PLACES}, "pareto": front or inline.get("pareto")},
            spots=spots,
            trainings=[picture for name, lines in logs.items() for picture in _losses(name, lines)],
            others=[picture for name, picture in inline.items() if name not in PLACES],
            marks={"exported": EXPORTED, "pictures": PICTURES},
        )
    )
    if galleries is None:
        text = _replaced(text, PICTURES, _between(_read(path), PICTURES))
    write_text(path, text)


def complete_report(source: Path, path: Path, exported: Sequence[Exported]) -> None:
    """Write the report again, with the exported generators.

    Args:
        source: the report that `write_report` wrote.
        path: the HTML file, in the folder of the exported files that it links to.
        exported: the exported generators.

    Raises:
        RunError: the report cannot be read or written.
    """
    section = _environment().get_template("exported.html").render(exported=exported)
    write_text(path, _replaced(_read(source), EXPORTED, section))


def _read(report: Path) -> str:
    try:
        return report.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RunError(f"{report} must be a report", error, "run `slimgen evaluate` again") from error


def _between(text: str, marks: Marks) -> str:
    """Return the text between two marks; empty if one of them is missing."""
    inside, found, _ = text.partition(marks.begin)[2].partition(marks.end)
    return inside if found else ""


def _replaced(text: str, marks: Marks, section: str) -> str:
    """Return a text with another section between two marks; unchanged if one of them is missing."""
    before, begun, rest = text.partition(marks.begin)
    _, ended, after = rest.partition(marks.end)
    return f"{before}{marks.begin}{section}{marks.end}{after}" if begun and ended else text


def _front(facts: Mapping[str, object]) -> tuple[Picture | None, list[Spot]]:
    """Draw the chart of the search, with texts for its points; return None and no texts if no trial can be drawn."""
    winner, lines = values_of(facts.get("genotype")), facts.get("trials")
    if not isinstance(lines, Sequence) or not lines or "objective" not in winner:
        return None, []
    drawn = io.BytesIO()
    try:
        chosen, *trials = (Trial.from_json({"seconds": 0.0, **values_of(line)}) for line in (winner, *lines))
        spots = front_chart(
            [trial for trial in trials if trial.complete],
            Objective(**values_of(winner["objective"])),  # type: ignore[arg-type]
            drawn,
            chosen=chosen,
            limits=values_of(winner.get("limits")),  # type: ignore[arg-type]
            steps=tuple(steps) if isinstance(steps := winner.get("steps"), list | tuple) else (),
            measured=str(winner.get("measured", "validation")),
        )
    except SlimgenError:
        return None, []
    return Picture("pareto", _uri(drawn.getvalue(), "image/png")), spots


def _inline(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"{file}, which the report shows, must be readable", error.strerror or error) from error
    return _uri(content, mimetypes.guess_type(file.name)[0] or "image/png")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _losses(name: str, lines: list[Mapping[str, object]]) -> list[Picture]:
    """Return the chart of one training; none if it logged no losses."""
    drawn = io.BytesIO()
    try:
        training_chart(lines, drawn)
    except SlimgenError:
        return []
    return [Picture(name, _uri(drawn.getvalue(), "image/png"))]
