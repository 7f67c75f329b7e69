"""`slimgen run`: all stages of a recipe, with one progress display, and the outcome."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.options import Json, Settings, leading, print_json, print_table, read_recipe
from slimgen.errors import DataError
from slimgen.files import CARD, GRID, ONNX, REPORT, TABLE
from slimgen.stages.table import up_to

if TYPE_CHECKING:
    from slimgen.recipe import Recipe

TRAIN, TEST = 400, 100  # pictures of the embedded set, as data.dvc tracks it
MORE = 5  # times as many where images are made of noise, which only many of them describe
OUTCOMES = (REPORT, GRID, ONNX, CARD)


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A preset, a YAML file, or FILE#key.")],
    data: Annotated[
        Path | None, typer.Option("--data", "-d", metavar="DIR", help="The images; `data` if it is there.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="RUN", help="By default runs/RECIPE.")] = None,
    set_: Settings = None,
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="The last stage to run.")] = None,
    as_json: Json = False,
) -> None:
    """Run every stage of a recipe; the same command again goes on where it stopped."""
    parsed = read_recipe(recipe, set_)
    planned = [stage.name for stage in up_to(until)]
    folder = out or Path("runs") / parsed.name
    from slimgen import stages
    from slimgen.cli.progress import Display
    from slimgen.stages.check import check

    check(parsed)  # before any picture is drawn
    images = find_images(parsed, data, folder)
    with Display(planned, quiet=not leading()) as display:
        metrics = stages.run(
            parsed, data=images, out=folder, until=until, progress=display.tell, on_stage=display.on_stage
        )
    if leading():
        _show(parsed, folder, metrics, as_json)


def find_images(recipe: "Recipe", data: Path | None, run_folder: Path) -> Path:
    """The images of a run: those named, those in `data`, or the embedded ones, drawn into the run's folder.

    The embedded pairs that may lie in `data` are no pictures to learn to make of noise: those are always drawn.

    Raises:
        DataError: there are none, and the recipe is not one for the embedded set.
    """
    if data is not None:
        return data
    here, embedded = Path("data"), recipe.name.startswith("townhouses")
    if embedded and recipe.task == "unconditional":
        return draw_townhouses(recipe, run_folder)
    if here.is_dir() and any(entry.is_dir() for entry in here.iterdir() if not entry.name.startswith(".")):
        return here
    if not embedded:
        raise DataError("a run needs images", "no --data, and no folder `data` here", "try `slimgen data list`")
    return draw_townhouses(recipe, run_folder)


def draw_townhouses(recipe: "Recipe", run_folder: Path) -> Path:
    """The embedded set at the recipe's size, drawn unless it is there."""
    from townhouses import write

    side = max(recipe.size, recipe.data.load or 0)
    layout = {"unpaired": "unpaired", "unconditional": "images"}.get(recipe.task, "paired")
    train, test = (count * (MORE if layout == "images" else 1) for count in (TRAIN, TEST))
    folder = run_folder / f"townhouses-{layout}-{side}"
    if folder.is_dir():
        return folder
    typer.echo(f"drawing {train + test} townhouses into {folder}", err=True)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    write(aside / "drawn", seed=0, train=train, test=test, size=side, layout=layout)
    # The names are those of the set in data.dvc, and so are the pairs held out for validation.
    for split in (aside / "drawn").iterdir():
        (aside / split.name).mkdir()
        split.rename(aside / split.name / "townhouses")
    (aside / "drawn").rmdir()
    try:
        aside.rename(folder)
    except OSError:
        # Another process of the same run was faster; its pictures are the same.
        if not folder.is_dir():
            raise
    return folder


def _show(recipe: "Recipe", folder: Path, metrics: Mapping[str, Mapping[str, float]], as_json: bool) -> None:
    """The before/after table and where things lie."""
    from slimgen.report.table import read_table, rows_table

    found = [path for stage in ("evaluate", "export") for name in OUTCOMES if (path := folder / stage / name).is_file()]
    table = read_table(folder / "evaluate" / TABLE) if "evaluate" in metrics else None
    if as_json:
        print_json({"run": str(folder), "stages": metrics, "files": {path.name: str(path) for path in found}})
        return
    if table is not None:
        print_table(rows_table(table.rows, f"{recipe.name}, {recipe.size} x {recipe.size}", table.convention))
    for path in found:
        typer.echo(f"{path.name:<15} {path}")
    if table is None:
        typer.echo(f"{'run':<15} {folder}")
    typer.echo(f"{'MLflow':<15} slimgen ui")
