"""`slimgen data`: public sets, the embedded set, and a look at one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.options import Json, print_json
from slimgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.progress import Progress, ProgressColumn

    from slimgen.data.layouts import Side

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

        def downloaded(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        def written(done: int, total: int) -> None:
            progress.update(task, description=f"{name}: {done:,} of {total:,} images written")

        got = get(name, folder, progress=downloaded, written=written)
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
        str,
        typer.Option(
            "--layout", help="paired (labels and day), unpaired (day and night), labels (ids and day), images (day)."
        ),
    ] = "paired",
    night: Annotated[
        int | None,
        typer.Option("--night", help="Unpaired: others to train on by night; as many as by day if not given."),
    ] = None,
) -> None:
    """Draw the embedded data set: the same bytes for the same options."""
    from townhouses import write

    # Beside the pictures of another set they would be taken for one set.
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("townhouses are drawn into a folder that is new or empty", folder, "choose another")
    with _bar() as progress:
        task = progress.add_task("drawing", total=None)

        def drawn(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        try:
            write(folder, seed=seed, train=train, test=test, size=size, layout=layout, night=night, progress=drawn)
        except ValueError as error:  # the renderer knows nothing of slimgen's errors
            raise DataError(str(error)) from None
    by_night = f" by day and {night or train} by night" if layout == "unpaired" else ""
    typer.echo(f"{folder}: {train}{by_night} to train on, {test} to test on, {size} x {size}, {layout}")


@app.command("check")
def check(
    folder: Folder,
    size: Annotated[int, typer.Option("--size", help="Pixels of a side that every image must have.")] = 1,
    direction: Annotated[str, typer.Option("--direction", help="AtoB or BtoA.")] = "AtoB",
    task: Annotated[
        str,
        typer.Option(
            "--task", help="paired; unpaired: two sets, of any numbers; labels: label maps of ids; unconditional."
        ),
    ] = "paired",
    instances: Annotated[bool, typer.Option("--instances", help="Labels: with maps of instances.")] = False,
    as_json: Json = False,
) -> None:
    """Say how a folder of images is laid out, how many there are, and what would be rejected. Nothing is written."""
    from dataclasses import asdict

    from slimgen.data.label_check import look
    from slimgen.data.layouts import Side, find_pairs, find_sets
    from slimgen.data.prepare_images import find_images
    from slimgen.tasks import check_task

    check_task(task)
    if task == "unpaired":
        sets = find_sets(folder, direction)
        members = [member for split in sets.splits.values() for member in split]
        rejected = _rejected(folder, (member.at for member in members), size, by_area=True)
        counted = {
            name: {which: sum(member.which == which for member in split) for which in ("input", "target")}
            for name, split in sets.splits.items()
        }
        found: dict[str, object] = {"layout": sets.layout, "images": counted}
        numbers = ", ".join(f"{name} {one['input']} + {one['target']}" for name, one in counted.items())
        lines = [("layout", sets.layout), ("images", numbers)]
    elif task == "labels":
        looked = look(folder, instances=instances, size=size)
        found, rejected = asdict(looked), looked.rejected
        numbers = ", ".join(f"{name} {count}" for name, count in looked.counts.items())
        classes = f"{looked.classes}{' and unknown' if looked.unknown else ''}"
        lines = [("layout", looked.layout), ("maps", numbers), ("classes", classes), _lonely(looked.lonely)]
    elif task == "unconditional":
        images = find_images(folder)
        rejected = _rejected(folder, (Side(image.path) for split in images.splits.values() for image in split), size)
        counts = {name: len(split) for name, split in images.splits.items()}
        found = {"layout": images.layout, "images": counts}
        lines = [("layout", images.layout), ("images", ", ".join(f"{name} {count}" for name, count in counts.items()))]
    else:
        pairs = find_pairs(folder, direction)
        sides = (side for split in pairs.splits.values() for pair in split for side in (pair.input, pair.target))
        rejected = _rejected(folder, sides, size)
        counts = {name: len(split) for name, split in pairs.splits.items()}
        lonely = [path.relative_to(folder).as_posix() for path in pairs.lonely]
        found = {"layout": pairs.layout, "pairs": counts, "lonely": lonely}
        lines = [("layout", pairs.layout), ("pairs", ", ".join(f"{name} {count}" for name, count in counts.items()))]
        lines.append(_lonely(lonely))
    if as_json:
        print_json({**found, "rejected": rejected})
        return
    for name, said in [*lines, ("rejected", str(len(rejected)))]:
        typer.echo(f"{name:<9} {said}")
    for name, reason in rejected.items():
        typer.echo(f"  {name} {reason}")


def _lonely(lonely: list[str]) -> tuple[str, str]:
    """The line of the files without a partner."""
    return "lonely", f"{len(lonely)}{': ' + ', '.join(lonely[:5]) if lonely else ''}"


def _rejected(folder: Path, sides: "Iterable[Side]", size: int, by_area: bool = False) -> dict[str, str]:
    """The files that cannot be used, and why; of two sets, an image needs the pixels of the size, not both sides."""
    from slimgen.data.images import Rejected, read_image

    rejected: dict[str, str] = {}
    for path, halves in {side.path: side.half != "whole" for side in sides}.items():
        try:
            height, width = read_image(path).shape[:2]
            width //= 1 + halves
            if height * width < size**2 if by_area else min(height, width) < size:
                less = f"fewer pixels than {size} x {size}" if by_area else f"smaller than {size} pixels"
                raise Rejected(path, f"is {width} x {height}, {less}")
        except Rejected as fault:
            rejected[path.relative_to(folder).as_posix()] = fault.reason
    return rejected


def _bar(*columns: "ProgressColumn") -> "Progress":
    """A progress bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, transient=True, console=console, disable=not console.is_terminal)
