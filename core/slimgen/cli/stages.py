"""One command for each of the seven stages, all made of their table."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from slimgen.cli.options import Json, Settings, leading, measured, print_json, read_recipe
from slimgen.stages.table import DATA, STAGES

RecipeOption = Annotated[str, typer.Option("--recipe", "-r", metavar="REF", help="A preset, a YAML file, or FILE#key.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder that the stage writes.")]
Group = Annotated[
    str | None, typer.Option("--group", help="The run's name in MLflow; by default the folder around --out.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of all stages."""
    for name, stage in STAGES.items():
        app.command(name, help=stage.about)(_command(name, stage.reads))


def _command(name: str, reads: tuple[str, ...]) -> Callable[..., None]:
    """The function of one stage's command, with an option for each folder that the stage reads."""

    def command(
        recipe: str, out: Path, set_: list[str] | None, group: str | None, as_json: bool, **folders: Path
    ) -> None:
        parsed = read_recipe(recipe, set_)
        from slimgen.cli.progress import Display
        from slimgen.stages.perform import perform

        with Display([name], quiet=not leading()) as display:
            metrics = perform(name, parsed, out=out, group=group, progress=display.tell, **folders)
        if as_json and leading():
            print_json(metrics)
        elif leading():
            typer.echo(f"{name}: {out}\n{measured(metrics)}")

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("recipe", keyword, annotation=RecipeOption),
        *(inspect.Parameter(folder, keyword, annotation=_folder(folder)) for folder in reads),
        inspect.Parameter("out", keyword, annotation=Out),
        inspect.Parameter("set_", keyword, annotation=Settings, default=None),
        inspect.Parameter("group", keyword, annotation=Group, default=None),
        inspect.Parameter("as_json", keyword, annotation=Json, default=False),
    ]
    # The options of a command are read off its signature.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__name__ = name
    return command


def _folder(name: str) -> object:
    about = "The images." if name == DATA else f"The folder that {name} wrote."
    return Annotated[Path, typer.Option(f"--{name}", metavar="DIR", help=about)]
