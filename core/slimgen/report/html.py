"""The report of a run: one HTML file with its pictures inside."""

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from slimgen.errors import RunError, SlimgenError
from slimgen.files import write_text
from slimgen.report.charts import training_chart
from slimgen.report.front import Front
from slimgen.report.gallery import Gallery, cells_of
from slimgen.report.inline import inline, of_png
from slimgen.report.plot import Plot, plot_of
from slimgen.report.result import RATIOS, conventions, headline, marked, ratios
from slimgen.report.story import gather, values_of
from slimgen.report.table import headings, legend, parse_table
from slimgen.report.variants import parse_variants, shown
from slimgen.report.words import generator, number, seconds
from slimgen.report.words import size as filesize
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
    """An exported generator, in files beside the report.

    Attributes:
        name: its file in float32.
        card: its card.
        measured: its measured values by label.
        variants: the variants of its card's JSON.
        files: further files, each with `name`, `about` and `bytes`.
        goals: `min` or `max` by metric, whichever is better; changes of other metrics have signs, but no colours.
    """

    name: str
    card: str
    measured: Mapping[str, str]
    variants: Sequence[Mapping[str, object]] = ()
    files: Sequence[Mapping[str, object]] = ()
    goals: Mapping[str, str] = MappingProxyType({})


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
    environment.filters["tied"] = lambda text: text.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")
    environment.filters.update(number=number, seconds=seconds, size=filesize, place=lambda value: f"{value:.2f}%")
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
    inside = {name: Picture(name, inline(file)) for name, file in pictures.items()}
    text = (
        _environment()
        .get_template("report.html")
        .render(
            story=story,
            table=table,
            headings=headings(table.rows, table.convention) if table else [],
            cells=marked(table) if table else [],
            legend=legend(table.rows) if table else [],
            ratios=ratios(table) if table else [],
            ratio_headings=RATIOS,
            conventions=conventions(table) if table else [],
            generators={row.name: words for row in table.rows if (words := generator(row.name))} if table else {},
            headline=headline(table) if table else [],
            galleries=[(gallery, cells_of(gallery)) for gallery in galleries or ()],
            pictures={
                **{place: inside.get(place) for place in PLACES},
                **({"pareto": None} if facts.get("trials") else {}),
            },
            plot=_plot(facts),
            trainings=[picture for name, lines in logs.items() for picture in _losses(name, lines)],
            others=[picture for name, picture in inside.items() if name not in PLACES],
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
    tables = [shown(parse_variants(one.variants), one.goals) for one in exported]
    section = _environment().get_template("exported.html").render(exported=list(zip(exported, tables, strict=True)))
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


def _plot(facts: Mapping[str, object]) -> Plot | None:
    """Lay out the chart of the search; return None if it would not have two points."""
    winner, lines = values_of(facts.get("genotype")), facts.get("trials")
    if not isinstance(lines, Sequence) or not lines or "objective" not in winner:
        return None
    try:
        chosen, *trials = (Trial.from_json({"seconds": 0.0, **values_of(line)}) for line in (winner, *lines))
        front = Front.of(
            [trial for trial in trials if trial.complete],
            Objective(**values_of(winner["objective"])),  # type: ignore[arg-type]
            chosen=chosen,
            limits=values_of(winner.get("limits")),  # type: ignore[arg-type]
            steps=tuple(steps) if isinstance(steps := winner.get("steps"), list | tuple) else (),
            measured=str(winner.get("measured", "validation")),
        )
    except SlimgenError:
        return None
    return plot_of(front) if len(front.trials) > 1 else None


def _losses(name: str, lines: list[Mapping[str, object]]) -> list[Picture]:
    """Return the chart of one training; none if it logged no losses."""
    drawn = io.BytesIO()
    try:
        training_chart(lines, drawn)
    except SlimgenError:
        return []
    return [Picture(name, of_png(drawn.getvalue()))]
