"""`slimgen compare`: the before/after table over several runs."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.options import Json, print_json, print_table
from slimgen.errors import RunError, printable
from slimgen.files import TABLE

if TYPE_CHECKING:
    from slimgen.report.table import Table


def _current(table: "Table", evaluate: Path) -> "Table":
    """Return a table with notes on the results in its run that are newer than it."""
    from slimgen.report.budget import budget_notes
    from slimgen.run.record import apart
    from slimgen.stages.table import STAGES

    others = {name: evaluate.parent / name for name in STAGES if name != "evaluate"}
    notes = apart({**others, "evaluate": evaluate})
    hint = (f"Run the recipe again to bring {evaluate.parent} up to date.",) if notes else ()
    return replace(table, notes=(*budget_notes(table, evaluate.parent), *table.notes, *notes, *hint))


def _finished(run: Path) -> list[Path]:
    """Return a run's folder, or that of its evaluate stage, as it is; of a folder of runs, the finished ones."""
    if (run / TABLE).is_file() or (run / "evaluate" / TABLE).is_file():
        return [run]
    found = sorted(path.parents[1] for path in run.glob(f"*/evaluate/{TABLE}"))
    if not found:
        came = f"nothing at {run / 'evaluate' / TABLE}" if run.is_dir() else f"{run}, which is no folder"
        hint = "run `slimgen run RECIPE` to the end first" if run.is_dir() else "check the path"
        raise RunError("there must be a finished run to compare", came, hint)
    return found


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, or a folder of runs."),
    ],
    chart: Annotated[Path | None, typer.Option("--chart", metavar="PNG", help="Draw quality against cost.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="The chart's metric; by default the first.")] = None,
    convention: Annotated[str | None, typer.Option("--convention", help="How MACs are counted.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_json: Json = False,
) -> None:
    """Compare finished runs: quality, costs, latency, exported variants.

    `slimgen compare runs` takes every finished run in the folder runs. Runs of one recipe with different seeds are
    compared run by run, too: the found generator with each of its rivals, with a t test.
    """
    from slimgen.report.paired import differences, differences_table, seeds
    from slimgen.report.table import markdown_table, notes_of, read_table, rows_table
    from slimgen.report.variants import read_variants, variants_markdown, variants_table
    from slimgen.run.record import name_of

    runs = [one for run in runs for one in _finished(run)]
    # Of a run, or of the folder of its evaluate stage.
    folders = [run if (run / TABLE).is_file() else run / "evaluate" for run in runs]
    last = [name_of(folder) for folder in folders]
    names = [name if last.count(name) == 1 else str(run) for run, name in zip(runs, last, strict=True)]
    named = zip(folders, names, strict=True)
    tables = [_current(read_table(folder / TABLE, name if len(runs) > 1 else ""), folder) for folder, name in named]
    rows = [row for table in tables for row in table.rows]
    known, notes = list(rows[0].macs), notes_of(tables)
    shown = ((folder, name if len(runs) > 1 else "") for folder, name in zip(folders, names, strict=True))
    variants = [one for folder, name in shown for one in read_variants(folder.parent, name)]
    goals = {metric: goal for row in rows for metric, goal in row.goals.items()}
    counted = convention or tables[0].convention
    if counted not in known:
        raise RunError(f"--convention must be one of {', '.join(known)}", repr(counted))
    if as_json:
        found = [one.facts for one in differences(tables)]
        rows_and_notes = {"rows": [asdict(row) for row in rows], "notes": notes}
        exported = [asdict(one) for one in variants]
        print_json({"convention": counted, **rows_and_notes, "differences": found, "variants": exported})
    elif markdown:
        typer.echo(markdown_table(rows, counted, notes), nl=False)
        if variants:
            typer.echo(f"\n{variants_markdown(variants, goals)}", nl=False)
    else:
        print_table(rows_table(rows, ", ".join(last), counted, notes))
        if variants:
            print_table(variants_table(variants, goals))
        if seeds(tables):
            print_table(differences_table(tables))
        if len({str(dict(table.protocol)) for table in tables}) > 1:
            typer.echo("note: the runs were measured by different protocols; see their reports", err=True)
    if chart is not None:
        from slimgen.report.charts import comparison_chart

        comparison_chart(rows, chart, metric=metric, convention=counted)
        typer.echo(f"chart: {printable(str(chart))}", err=True)
