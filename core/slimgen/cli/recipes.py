"""`slimgen recipes`: what comes with slimgen."""

from typing import Annotated

import typer

from slimgen.cli.options import Json, print_json


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this one, as YAML.")] = None,
    as_json: Json = False,
) -> None:
    """List the recipes, or print one."""
    from slimgen.recipe import load, presets

    if name is not None:
        recipe = load(name)
        if as_json:
            print_json(recipe.model_dump(mode="json"))
        else:
            typer.echo(recipe.to_yaml(), nl=False)
        return
    found = [load(preset) for preset in presets()]
    if as_json:
        keys = ("name", "task", "method", "size", "about")
        print_json([{key: getattr(recipe, key) for key in keys} for recipe in found])
        return
    cells = [("name", "task", "method", "size", "about")]
    cells += [(recipe.name, recipe.task, recipe.method, str(recipe.size), recipe.about) for recipe in found]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    for line in cells:
        start = "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=False))
        typer.echo(f"{start}  {line[4]}")
