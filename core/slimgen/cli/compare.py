"""`slimgen compare`: the before/after table over several runs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slimgen.cli.options import Json, print_json, print_table
from slimgen.errors import RunError
from slimgen.files import TABLE


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or of their evaluate stage.")],
    chart: Annotated[Path | None, typer.Option("--chart", metavar="PNG", help="Draw quality against cost.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Of the chart; the first one by default.")] = None,
    convention: Annotated[str | None, typer.Option("--convention", help="How MACs are counted.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_json: Json = False,
) -> None:
    """Print quality, MACs, parameters, bytes and latency of several runs' generators."""
    from slimgen.report.table import markdown_table, read_table, rows_table

    many = len(runs) > 1
    tables = [read_table(_table(run), _name(run, runs) if many else "") for run in runs]
    rows = [row for table in tables for row in table.rows]
    known = list(rows[0].macs)
    counted = convention or tables[0].convention
    if counted not in known:
        raise RunError(f"--convention is one of {', '.join(known)}", repr(counted))
    if as_json:
        print_json({"convention": counted, "rows": [asdict(row) for row in rows]})
    elif markdown:
        typer.echo(markdown_table(rows, counted), nl=False)
    else:
        names = ", ".join(run.resolve().name for run in runs)
        print_table(rows_table(rows, names, counted))
        if len({str(dict(table.protocol)) for table in tables}) > 1:
            typer.echo("note: the runs were measured by different protocols; see their reports", err=True)
    if chart is not None:
        from slimgen.report.charts import comparison_chart

        comparison_chart(rows, chart, metric=metric, convention=counted)
        typer.echo(f"chart: {chart}", err=True)


def _table(run: Path) -> Path:
    """Where the table of a run lies, given its folder or that of its evaluate stage."""
    direct = run / TABLE
    return direct if direct.is_file() else run / "evaluate" / TABLE


def _name(run: Path, runs: list[Path]) -> str:
    """A run's folder, by its last name where that is enough."""
    last = [other.resolve().name for other in runs]
    return run.resolve().name if last.count(run.resolve().name) == 1 else str(run)
