"""`slimgen data`: public sets, the embedded set, and a check of any."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.group import Group
from slimgen.cli.options import SIZE, Json, Settings, print_json, read_recipe
from slimgen.errors import SlimgenError, printable
from slimgen.size import FITS, Fit
from slimgen.tasks import TASKS
from slimgen.tasks.embedded import DEFAULT, LAYOUTS, NAME, by_day_and_night

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None, help="Download, draw and check images.")
Folder = Annotated[Path, typer.Argument(metavar="DIR")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the public data sets that can be downloaded."""
    from slimgen.data.get import BY_HAND, PUBLIC

    if as_json:
        print_json({name: {"url": one.url, "terms": one.terms} for name, one in PUBLIC.items()})
        return
    width = max(map(len, [*PUBLIC, *BY_HAND]))
    for name, one in PUBLIC.items():
        typer.echo(f"{name:<{width}}  {one.terms}")
    for name, (_, how) in BY_HAND.items():
        typer.echo(f"{name:<{width}}  not for download: {how}")


@app.command("get")
def get_(name: Annotated[str, typer.Argument(metavar="NAME")], folder: Folder, as_json: Json = False) -> None:
    """Download and unpack a public data set. Repeat the command to resume it."""
    from dataclasses import asdict

    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

    from slimgen.data.get import get

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with _bar(name, *columns) as update:

        def written(done: int, total: int) -> None:
            update(None, None, f"{name}: {done:,} of {total:,} images written")

        got = get(name, folder, progress=update, written=written)
    if as_json:
        print_json(asdict(got))
    else:
        typer.echo(f"{folder}\nsha256 {got.sha256}\n{got.terms}")


@app.command(NAME)
def draw(
    folder: Folder,
    train: Annotated[int, typer.Option("--train", help="Pictures to train on.")] = 400,
    test: Annotated[int, typer.Option("--test", help="Pictures to test on.")] = 64,
    size: Annotated[int, typer.Option("--size", help="Pixels of a side.")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="Of all pictures.")] = 0,
    layout: Annotated[str, typer.Option("--layout", help=f"{LAYOUTS}.")] = DEFAULT,
    night: Annotated[
        int | None,
        typer.Option("--night", help="Day and night: others to train on by night; as many as by day if not given."),
    ] = None,
) -> None:
    """Draw the embedded data set: the same bytes for the same options."""
    from slimgen.tasks.embedded import draw as drawn

    with _bar("drawing") as update:
        drawn(folder, layout, train, test, size=size, seed=seed, night=night, progress=update)
    by_night = f" by day and {night or train} by night" if by_day_and_night(layout) else ""
    typer.echo(f"{folder}: {train}{by_night} to train on, {test} to test on, {size} x {size}, {layout}")


@app.command("check")
def check(
    folder: Folder,
    size: Annotated[
        str | None, typer.Option("--size", metavar="SIZE", help=f"{SIZE}: of which images are to be made.")
    ] = None,
    fit: Annotated[
        Fit | None, typer.Option("--fit", help=f"{', '.join(FITS)}: what becomes of images of another aspect.")
    ] = None,
    direction: Annotated[str, typer.Option("--direction", help="AtoB or BtoA.")] = "AtoB",
    task: Annotated[str, typer.Option("--task", help=f"{', '.join(TASKS)}.")] = next(iter(TASKS)),
    scale: Annotated[int, typer.Option("--scale", help="Upscaling: its factor.")] = 4,
    instances: Annotated[bool, typer.Option("--instances", help="Label maps: with maps of instances.")] = False,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="What it would make of them; in place of the options above.")
    ] = None,
    set_: Settings = None,
    as_json: Json = False,
) -> None:
    """Check a folder of images: layout, counts, rejected images.

    Nothing is written.
    """
    from slimgen.data.look import Look, looked_of
    from slimgen.size import Size
    from slimgen.tasks import check_recipe, task_class

    if recipe is None:
        if set_:
            raise SlimgenError("--set changes a value of a recipe", None, "add --recipe RECIPE")
        look = Look(None if size is None else Size.of(size), direction, instances, fit, scale)
        looked = task_class(task).look(folder, look)
    else:
        wanted = read_recipe(recipe, set_)
        check_recipe(wanted)
        with _bar("looking") as update:
            looked = looked_of(task_class(wanted.task).prepare(wanted, folder, None, update))
    if as_json:
        notes = {"notes": looked.notes} if looked.notes else {}
        print_json({**looked.facts, "rejected": looked.rejected, **notes})
        return
    for name, line in {**looked.lines, "rejected": str(len(looked.rejected))}.items():
        typer.echo(f"{name:<9} {printable(line)}")
    for name, reason in looked.rejected.items():
        typer.echo(printable(f"  {name} {reason}"))
    for note in looked.notes:
        typer.echo(printable(f"warning: {note}"))


@contextmanager
def _bar(title: str, *columns: "ProgressColumn") -> Iterator[Callable[..., None]]:
    """Return a progress bar on stderr, if that is a terminal, and the function that updates it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(*columns, transient=True, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total, said=title: progress.update(task, completed=done, total=total, description=said)
