"""`slimgen data`: public sets, the embedded set, and a look at one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.options import Json, print_json
from slimgen.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Get, draw and check images.")
Folder = Annotated[Path, typer.Argument(metavar="DIR")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the public data sets that can be downloaded."""
    from slimgen.data.get import BY_HAND, PUBLIC

    if as_json:
        print_json({**{name: {"url": one.url, "terms": one.terms} for name, one in PUBLIC.items()}})
        return
    width = max(map(len, [*PUBLIC, *BY_HAND]))
    for name, one in PUBLIC.items():
        typer.echo(f"{name:<{width}}  {one.terms}")
    for name, how in BY_HAND.items():
        typer.echo(f"{name:<{width}}  not for download: {how}")


@app.command("get")
def get_(name: Annotated[str, typer.Argument(metavar="NAME")], folder: Folder, as_json: Json = False) -> None:
    """Download and unpack a public data set; the same command again goes on where it stopped."""
    from dataclasses import asdict

    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

    from slimgen.data.get import get

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with _bar(*columns) as progress:
        task = progress.add_task(name, total=None)
        got = get(name, folder, progress=lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        print_json(asdict(got))
    else:
        typer.echo(f"{folder}\nsha256 {got.sha256}\n{got.terms}")


@app.command("townhouses")
def townhouses(
    folder: Folder,
    train: Annotated[int, typer.Option("--train", help="Pictures to train on.")] = 400,
    test: Annotated[int, typer.Option("--test", help="Pictures to test on.")] = 64,
    size: Annotated[int, typer.Option("--size", help="Pixels of a side.")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="Of all pictures.")] = 0,
    layout: Annotated[
        str, typer.Option("--layout", help="paired (labels and day) or unpaired (day and night).")
    ] = "paired",
) -> None:
    """Draw the embedded data set: the same bytes for the same options."""
    from slimgen.data.townhouses import write

    # Beside the pictures of another set they would be taken for one set.
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("townhouses are drawn into a folder that is new or empty", folder, "choose another")
    with _bar() as progress:
        task = progress.add_task("drawing", total=None)
        write(
            folder,
            seed=seed,
            train=train,
            test=test,
            size=size,
            layout=layout,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    typer.echo(f"{folder}: {train} to train on, {test} to test on, {size} x {size}, {layout}")


@app.command("check")
def check(
    folder: Folder,
    size: Annotated[int, typer.Option("--size", help="Pixels of a side that every image must have.")] = 1,
    direction: Annotated[str, typer.Option("--direction", help="AtoB or BtoA.")] = "AtoB",
    as_json: Json = False,
) -> None:
    """Say how a folder of images is laid out, how many there are, and what would be rejected. Nothing is written."""
    from slimgen.data.images import Rejected, read_image
    from slimgen.data.layouts import find_pairs

    pairs = find_pairs(folder, direction)
    rejected: dict[str, str] = {}
    for path, halves in {
        side.path: side.half != "whole"
        for split in pairs.splits.values()
        for pair in split
        for side in (pair.input, pair.target)
    }.items():
        try:
            height, width = read_image(path).shape[:2]
            width //= 1 + halves
            if min(height, width) < size:
                raise Rejected(path, f"is {width} x {height}, smaller than {size} pixels")
        except Rejected as fault:
            rejected[path.relative_to(folder).as_posix()] = fault.reason
    counts = {name: len(split) for name, split in pairs.splits.items()}
    lonely = [path.relative_to(folder).as_posix() for path in pairs.lonely]
    if as_json:
        print_json({"layout": pairs.layout, "pairs": counts, "lonely": lonely, "rejected": rejected})
        return
    typer.echo(f"layout    {pairs.layout}\npairs     {', '.join(f'{name} {count}' for name, count in counts.items())}")
    typer.echo(f"lonely    {len(lonely)}{': ' + ', '.join(lonely[:5]) if lonely else ''}\nrejected  {len(rejected)}")
    for name, reason in rejected.items():
        typer.echo(f"  {name} {reason}")


def _bar(*columns: "ProgressColumn") -> "Progress":
    """A progress bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, transient=True, console=console, disable=not console.is_terminal)
