"""One command for each of the seven stages, all made of one table."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from slimgen.cli.options import Json, Settings, leading, measured, print_json, read_recipe

INPUTS: dict[str, tuple[str, ...]] = {
    "prepare": ("data",),
    "teach": ("prepare",),
    "supernet": ("prepare", "teach"),
    "search": ("prepare", "teach", "supernet"),
    "finetune": ("prepare", "teach", "supernet", "search"),
    "evaluate": ("prepare", "teach", "search", "finetune"),
    "export": ("finetune", "evaluate"),
}
"""Stage to the folders that it reads."""

ABOUT = {
    "prepare": "Decode the images once, into arrays, and say what was rejected.",
    "teach": "Train the original GAN, or import it from a checkpoint.",
    "supernet": "Train the weight-sharing network, the method's way.",
    "search": "Find the architecture within the budget.",
    "finetune": "Train the found generator to its end.",
    "evaluate": "Measure the original, the found and the uniform generator; write the report.",
    "export": "Write the found generator as ONNX, and check that it computes the same.",
}

RecipeOption = Annotated[str, typer.Option("--recipe", "-r", metavar="REF", help="A preset, a YAML file, or FILE#key.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder that the stage writes.")]
Group = Annotated[
    str | None, typer.Option("--group", help="The run's name in MLflow; by default the folder around --out.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of all stages."""
    for stage in INPUTS:
        app.command(stage, help=ABOUT[stage])(_command(stage))


def _command(stage: str) -> Callable[..., None]:
    """The function of one stage's command, with an option for each folder that the stage reads."""

    def command(
        recipe: str, out: Path, set_: list[str] | None, group: str | None, as_json: bool, **folders: Path
    ) -> None:
        _perform(stage, recipe, out, set_, group, as_json, folders)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("recipe", keyword, annotation=RecipeOption),
        *(inspect.Parameter(name, keyword, annotation=_folder(name)) for name in INPUTS[stage]),
        inspect.Parameter("out", keyword, annotation=Out),
        inspect.Parameter("set_", keyword, annotation=Settings, default=None),
        inspect.Parameter("group", keyword, annotation=Group, default=None),
        inspect.Parameter("as_json", keyword, annotation=Json, default=False),
    ]
    # The options of a command are read off its signature.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__name__ = stage
    return command


def _folder(name: str) -> object:
    about = "The images." if name == "data" else f"The folder that {name} wrote."
    return Annotated[Path, typer.Option(f"--{name}", metavar="DIR", help=about)]


def _perform(
    stage: str,
    reference: str,
    out: Path,
    settings: list[str] | None,
    group: str | None,
    as_json: bool,
    folders: dict[str, Path],
) -> None:
    """Runs one stage and prints what it measured."""
    recipe = read_recipe(reference, settings)
    from slimgen import stages
    from slimgen.cli.progress import Display

    function: Callable[..., dict[str, float]] = getattr(stages, stage)
    with Display([stage], quiet=not leading()) as display:
        metrics = function(recipe, **folders, out=out, group=group, tell=display.tell)
    if as_json and leading():
        print_json(metrics)
    elif leading():
        typer.echo(f"{stage}: {out}\n{measured(metrics)}")
