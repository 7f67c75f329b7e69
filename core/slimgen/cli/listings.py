"""`slimgen recipes` and `slimgen spaces`: the recipes and spaces that come with slimgen."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from textwrap import wrap
from typing import Annotated

import typer

from slimgen.cli.options import SIZE, Json, print_json
from slimgen.errors import SlimgenError, nearest

EXPENSES, DAY = "expenses.json", 24 * 60 * 60


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this one, as YAML; with --keys, a method or a family.")
    ] = None,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="List the keys of every recipe instead; of a method's sections; of a network."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the recipes, print one, or list its keys (--keys)."""
    from slimgen.recipe import load, presets

    if keys:
        _print_keys(name, as_json)
        return
    if name is not None:
        recipe = load(name)
        if as_json:
            print_json(recipe.model_dump(mode="json"))
        else:
            typer.echo(recipe.to_yaml(), nl=False)
        return
    found = [load(preset) for preset in presets()]
    if as_json:
        columns = ("name", "task", "method", "size", "about")
        print_json([{key: values[key] for key in columns} for values in (one.model_dump() for one in found)])
        return
    times, width = _times(), max(len(recipe.name) for recipe in found)
    for task in dict.fromkeys(recipe.task for recipe in found):
        typer.echo(f"{task}:")
        for recipe in (one for one in found if one.task == task):
            about = recipe.about.partition(";")[0]
            typer.echo(f"  {recipe.name:<{width}} {recipe.size!s:<9} {times.get(recipe.name, ''):>6}  {about}")
    typer.echo(
        "\nTimes are for two CPU cores, estimated from the MACs of all trainings; GPU: more than a day there.\n"
        "Any recipe with --quick takes about a minute. slimgen recipes NAME prints one."
    )


def _times() -> dict[str, str]:
    """Return how long each recipe takes on two cores, or that it wants a GPU; see `benchmarks/expenses.py`."""
    with resources.files("slimgen").joinpath("recipes", EXPENSES).open(encoding="utf-8") as file:
        seconds: dict[str, float] = json.load(file)["seconds"]
    return {name: "GPU" if took > DAY else _rounded(took) for name, took in seconds.items()}


def _rounded(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{round(minutes / 60)} h"


def _print_keys(name: str | None, as_json: bool) -> None:
    """Print the keys of every recipe, or those of one method or one family of networks."""
    from slimgen.methods import keys_named

    found = keys_named(name)
    if as_json:
        print_json([asdict(key) for key in found])
        return
    width = max((len(key.name) for key in found), default=0)
    for key in found:
        typer.echo(f"{key.name:<{width}}  {key.default}  ({key.kind})")
        for line in wrap(key.meaning, 110 - 4):
            typer.echo(f"    {line}")


def spaces(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one.")] = None,
    family: Annotated[
        str | None, typer.Option("--family", help="The network: mobile_resnet, resnet, mobile_spade ...")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="SIZE", help=f"{SIZE}; 256 by default.")] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", help="How MACs are counted; gan-compression by default.")
    ] = None,
    macs: Annotated[float | None, typer.Option("--macs", help="Count configurations within these MACs.")] = None,
    as_json: Json = False,
) -> None:
    """List the named search spaces, or show one.

    A space of channels is shown with its configurations counted, one of operations with all that it chooses from.
    """
    from slimgen.nets.profile import OPERATION_SPACES, SPACES, choices_of, counted, sizes_of
    from slimgen.size import Size

    names = [*SPACES, *OPERATION_SPACES]
    if name is not None and name not in names:
        raise SlimgenError(f"there is no space {name!r}", None, nearest(name, names))
    counting = {"--family": family, "--size": size, "--convention": convention, "--macs": macs}
    given = ", ".join(option for option, value in counting.items() if value is not None)
    if given and name not in SPACES:
        came = f"{given} for {name}" if name else f"{given} without a name"
        rule = "--family, --size, --convention and --macs need a named space of channels"
        raise SlimgenError(rule, came, f"known: {', '.join(SPACES)}")
    if name is None:
        sizes = sizes_of()
        if as_json:
            print_json({known: {"configurations": number} for known, number in sizes.items()})
        for known, number in sizes.items() if not as_json else ():
            typer.echo(f"{known:<26}{number:>26,} configurations")
        return
    if name in OPERATION_SPACES:
        title, told = name, choices_of(name)
    else:
        of = Size.of(size or "256")
        title = f"{name} of {family or SPACES[name]} at {of}"
        told = counted(name, family or SPACES[name], of, convention or "gan-compression", macs)
    if as_json:
        print_json(told)
        return
    typer.echo(title)
    for key, value in told.items():
        if isinstance(value, Mapping):
            for choice, options in value.items():
                typer.echo(f"  {choice:<24}{', '.join(options)}")
            continue
        text = f"{value:,}" if isinstance(value, int) else str(value)
        typer.echo(f"  {key.replace('_', ' '):<24}{text:>24}")
