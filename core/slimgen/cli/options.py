"""Options shared by several commands, and the recipe that they describe."""

import json
import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from slimgen.recipe import Recipe

EXAMPLE = "teach.batch=2"
"""A setting that every recipe takes."""
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help=f"Replace a value of the recipe, e.g. {EXAMPLE}; repeatable."),
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A trial of about a minute: few updates, evaluations and images. No result."),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="What the run is shown as, its model too; by default the name of its folder."),
]
SIZE = "Pixels of a side, or height x width: 64, 72x96"
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on stdout.")]


def read_recipe(reference: str, settings: list[str] | None) -> "Recipe":
    """Read the recipe by preset name, file, or `FILE#key`, and replace single values."""
    from slimgen.recipe import load

    recipe = load(reference)
    changed = recipe.override(settings) if settings else recipe
    if changed.method != recipe.method and (recipe.supernet, recipe.search) == (changed.supernet, changed.search):
        _refuse_method(recipe, changed.method)
    return changed


def _refuse_method(recipe: "Recipe", method: str) -> None:
    """Raise RecipeError if another method would be given sections that are this one's."""
    from slimgen.errors import RecipeError
    from slimgen.recipe import load, presets

    known, task = [one for one in map(load, presets()) if one.method == method], recipe.task
    others = [one.name for one in known if one.task == task] or [one.name for one in known]
    if others and (recipe.supernet or recipe.search):
        rule = f"the sections supernet and search of {recipe.name} must be those of its method, {recipe.method}"
        raise RecipeError(rule, f"method={method}", f"take a recipe of {method}: {', '.join(others)}")


def print_json(value: object) -> None:
    """Print a result as JSON on stdout; NaN and infinity become null."""
    from slimgen.files import plain

    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    # JSON escapes most codes that a terminal obeys, and the text reads back unchanged without these, too.
    typer.echo(re.sub(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", lambda c: f"\\u{ord(c[0]):04x}", text))


def print_table(table: "RenderableType") -> None:
    """Print a table on stdout: as wide as the terminal, or in a file wide enough for whole lines."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    console.print(table)


def leading() -> bool:
    """Return whether this process prints: the first of the processes that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
