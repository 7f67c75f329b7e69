"""Commands of a recipe's stages: one for all of them, and one for each, made from the table of stages."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slimgen.cli.group import SINGLE
from slimgen.cli.options import Json, Name, Quick, Settings, leading, print_json, print_table, read_recipe
from slimgen.errors import SlimgenError, printable
from slimgen.files import CARD, GRID, ONNX, REPORT, REVERSE, TABLE, of_direction
from slimgen.stages.table import DATA, STAGES, complete_report, default_out, up_to

if TYPE_CHECKING:
    from slimgen.recipe import Recipe
    from slimgen.stages.outlook import Outlook

OUTCOMES = (REPORT, GRID, ONNX, CARD, of_direction(ONNX, REVERSE), of_direction(CARD, REVERSE))
Metrics = Mapping[str, Mapping[str, float]]
"""What each stage measured."""
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", "-r", metavar="RECIPE", help="A preset, a YAML file, or FILE#key; by default the run's."),
]
RunOption = Annotated[
    Path | None, typer.Option("--run", metavar="RUN", help="The run's folder: all other folders follow from it.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder to write, where it is not RUN's.")
]
Group = Annotated[
    str | None,
    typer.Option("--group", help="What the stages of a run share in MLflow; by default the folder around --out."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of all stages."""
    for name, stage in STAGES.items():
        app.command(name, help=stage.about, rich_help_panel=SINGLE)(_command(name, stage.reads))


def _command(stage: str, reads: tuple[str, ...]) -> Callable[..., None]:
    """Make the function of one stage's command, with an option for each folder that the stage reads."""

    def command(
        recipe: str | None,
        run: Path | None,
        out: Path | None,
        set_: list[str] | None,
        name: str | None,
        group: str | None,
        quick: bool,
        as_json: bool,
        **folders: Path | None,
    ) -> None:
        missing = [f"--{option}" for option, folder in {**folders, "out": out}.items() if folder is None]
        if run is None and missing:
            raise SlimgenError(
                f"slimgen {stage} needs the run's folder", None, f"add --run RUN, or {', '.join(missing)}"
            )
        parsed = _trial(_recipe_of(stage, recipe, run, set_), quick)
        from slimgen.cli.progress import Display
        from slimgen.stages.perform import perform
        from slimgen.stages.summary import found
        from slimgen.stages.work import say
        from slimgen.tasks.embedded import find_images

        place = out or (run or Path()) / stage
        if DATA in folders:
            folders[DATA] = find_images(parsed, folders[DATA], run or place.parent, report=say)
        inputs: dict[str, Any] = {other: folder or (run or Path()) / other for other, folder in folders.items()}
        with Display([stage], quiet=not leading()) as display:
            metrics = perform(
                stage,
                parsed,
                out=place,
                name=name,
                group=group,
                progress=display.tell,
                on_begin=display.line,
                **inputs,
            )
            if stage == "search":
                display.line(found(parsed, place))
        if as_json and leading():
            print_json(metrics)
        elif leading():
            from slimgen.report.words import number

            typer.echo(printable(f"{stage}: {place}"))
            width = max(map(len, metrics), default=0)
            for metric, value in metrics.items():
                typer.echo(f"  {metric:<{width}}  {number(value)}")

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("recipe", keyword, annotation=RecipeOption, default=None),
        inspect.Parameter("run", keyword, annotation=RunOption, default=None),
        *(inspect.Parameter(folder, keyword, annotation=_folder(folder), default=None) for folder in reads),
        inspect.Parameter("out", keyword, annotation=Out, default=None),
        inspect.Parameter("set_", keyword, annotation=Settings, default=None),
        inspect.Parameter("name", keyword, annotation=Name, default=None),
        inspect.Parameter("group", keyword, annotation=Group, default=None),
        inspect.Parameter("quick", keyword, annotation=Quick, default=False),
        inspect.Parameter("as_json", keyword, annotation=Json, default=False),
    ]
    # The options of a command are read off its signature.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__name__ = stage
    return command


def _trial(recipe: "Recipe", wanted: bool) -> "Recipe":
    """Return the recipe, or where that is wanted, the one of a trial run."""
    if not wanted:
        return recipe
    from slimgen.stages.quick import quick

    return quick(recipe)


def _folder(name: str) -> object:
    about = "The images." if name == DATA else f"The folder that {name} wrote, where it is not RUN's."
    return Annotated[Path | None, typer.Option(f"--{name}", metavar="DIR", help=about)]


def _recipe_of(name: str, recipe: str | None, run: Path | None, settings: list[str] | None) -> "Recipe":
    """Return the named recipe, or that of a run: of this stage, or else of the last one before it.

    Raises:
        SlimgenError: neither is given, or the run has no stage with a recipe.
    """
    if recipe is not None:
        return read_recipe(recipe, settings)
    hint = "add --recipe RECIPE; slimgen recipes lists them"
    if run is None:
        raise SlimgenError(f"slimgen {name} needs a recipe", None, hint)
    from slimgen.recipe import Recipe
    from slimgen.run.record import read_record

    for stage in reversed(up_to(name)):
        if text := read_record(run / stage.name).get("recipe"):
            found = Recipe.parse(str(text), where=f"the recipe of {run / stage.name}")
            return found.override(settings) if settings else found
    raise SlimgenError(f"no stage of {run} has a recipe yet", None, hint)


def run(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A preset (see `slimgen recipes`), a YAML file, or FILE#key.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", metavar="DIR", help="The images; by default the folder data, or else the recipe's own."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="RUN", help="By default runs/RECIPE.")] = None,
    set_: Settings = None,
    name: Name = None,
    quick: Quick = False,
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="The last stage to run.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the recipe, and what each stage would cost; do nothing.")
    ] = False,
    brief: Annotated[
        bool, typer.Option("--brief", help="Print no table at the end, as where slimgen compare follows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run all stages of a recipe. Repeat the command to resume it.

    \b
    Examples:
      slimgen run townhouses-cf_gan               pictures that slimgen draws
      slimgen run townhouses-cf_gan --quick       a trial of about a minute, into a folder
                                                  of its own, runs/townhouses-cf_gan-quick
      slimgen run pairs-cf_gan --data DIR         your own pictures
      slimgen run mine.yaml --set teach.batch=2   a recipe of your own, one value replaced
      slimgen run facades-256-cf_gan --data DIR --set compute.device=cuda
                                                  on a GPU or not at all; by default
                                                  a GPU is used where there is one
      slimgen run townhouses-cf_gan --dry-run     what it would cost
    """  # noqa: D301 - \b keeps the lines below as they are
    up_to(until)
    parsed = _trial(read_recipe(recipe, set_), quick)
    folder = out or default_out(parsed.name)
    if dry_run:
        from slimgen import stages

        _show_outlook(stages.preview(parsed, data=data, out=folder, until=until), as_json)
        return
    metrics = perform_all(parsed, data, folder, until, name)
    if leading():
        show_outcome(parsed, folder, metrics, as_json, brief)


def perform_all(
    recipe: "Recipe", data: Path | None, out: Path, until: str | None = None, name: str | None = None
) -> Metrics:
    """Run a recipe's stages, and show on stderr what they do and find."""
    from slimgen import stages
    from slimgen.cli.progress import Display
    from slimgen.stages.summary import found

    def on_stage(stage: str, metrics: Mapping[str, float], seconds: float, skipped: bool) -> None:
        display.on_stage(stage, metrics, seconds, skipped)
        if stage == "search":
            display.line(found(recipe, out / stage))

    with Display([stage.name for stage in up_to(until)], quiet=not leading()) as display:
        return stages.run(
            recipe,
            data=data,
            out=out,
            until=until,
            name=name,
            progress=display.tell,
            on_stage=on_stage,
            on_begin=display.line,
        )


def show_outcome(recipe: "Recipe", folder: Path, metrics: Metrics, as_json: bool, brief: bool = False) -> None:
    """Print the table of before and after, unless brief, where the results lie, and what to do next."""
    from slimgen.report.budget import budget_notes
    from slimgen.report.table import read_table, rows_table
    from slimgen.run.record import name_of

    found = [path for stage in ("evaluate", "export") for name in OUTCOMES if (path := folder / stage / name).is_file()]
    table = read_table(folder / "evaluate" / TABLE) if "evaluate" in metrics else None
    if as_json:
        print_json({"run": str(folder), "stages": metrics, "files": {path.name: str(path) for path in found}})
        return
    if table is not None and not brief:
        title = f"{name_of(folder / 'evaluate')}, {recipe.size}"
        notes = (*budget_notes(table, folder), *table.notes)
        print_table(rows_table(table.rows, title, table.convention, notes))
    width = max([15, *(len(path.name) for path in found)])
    for path in found:
        typer.echo(printable(f"{path.name:<{width}} {path}"))
    if table is None:
        typer.echo(printable(f"{'run':<{width}} {folder}"))
        return
    typer.echo("next:")
    for what, how in _next(folder).items():
        typer.echo(printable(f"  {what:<{width - 2}} {how}"))


def _next(folder: Path) -> Mapping[str, str]:
    """Return what to do after a run, and how."""
    steps = {"look": f"open {complete_report(folder)} in a browser"}
    if (folder / "export" / CARD).is_file():
        steps["use"] = f"{folder / 'export' / CARD} shows how to run {ONNX}"
    return {**steps, "compare": f"slimgen compare {folder.parent}", "MLflow": "slimgen ui"}


def _show_outlook(outlook: "Outlook", as_json: bool) -> None:
    """Print the recipe, the stages, their needs and the space, as lines or as JSON."""
    if as_json:
        print_json(asdict(outlook))
        return
    import yaml

    typer.echo(yaml.safe_dump(dict(outlook.recipe), sort_keys=False, width=110))
    for line in _lines(outlook):
        typer.echo(printable(line))


def _lines(outlook: "Outlook") -> Iterator[str]:
    from slimgen.report.words import size as filesize
    from slimgen.text import amount

    yield f"{'stage':<10}{'updates':>12}{'MACs':>10}{'disk':>10}   state"
    for name, state in outlook.stages.items():
        expense = outlook.expenses[name]
        updates = "-" if expense.updates is None else f"{expense.updates:,}"
        disk = "-" if expense.bytes is None else filesize(expense.bytes)
        yield f"{name:<10}{updates:>12}{amount(expense.macs):>10}{disk:>10}   {state}"
    yield from (f"note: {note}" for note in outlook.notes)
    for name, fault in outlook.wanted.items():
        yield f"needs {name}: {fault or 'there'}"
    limits = ", ".join(f"{name} {amount(most)}" for name, most in outlook.budget.items())
    yield f"budget: {limits or 'none'}"
    if space := outlook.space:
        size, within = (f"{one:,}" if isinstance(one, int) else one for one in (space["genotypes"], space["within"]))
        yield f"space: {size} genotypes, {within} within the budget ({space['how']})"
        yield f"search: at most {outlook.evaluations:,} evaluations"
