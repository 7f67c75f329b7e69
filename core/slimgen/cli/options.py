"""Options that several commands share, and how a recipe is read from them."""

import json
import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from slimgen.recipe import Recipe

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the recipe: search.evaluations=96."),
]
SIZE = "Pixels of a side, or height x width: 64, 72x96"
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on stdout.")]


def read_recipe(reference: str, settings: list[str] | None) -> "Recipe":
    """The recipe by preset name, file, or `FILE#key`, with single values replaced."""
    from slimgen.recipe import load

    recipe = load(reference)
    return recipe.override(settings) if settings else recipe


def print_json(value: object) -> None:
    """A result as JSON on stdout; what is not finite becomes null."""
    from slimgen.files import plain

    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    # JSON escapes most codes that a terminal obeys, and the text reads back unchanged without these, too.
    typer.echo(re.sub(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", lambda c: f"\\u{ord(c[0]):04x}", text))


def print_table(table: "RenderableType") -> None:
    """A table on stdout: as wide as the terminal, and wide enough for whole lines in a file."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    console.print(table)


def leading() -> bool:
    """Whether this process is the one that speaks: the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
