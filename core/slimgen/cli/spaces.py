"""`slimgen spaces`: the named spaces, how large they are, and what their networks cost or choose from."""

from collections.abc import Mapping
from typing import Annotated

import typer

from slimgen.cli.options import Json, print_json
from slimgen.errors import SlimgenError, nearest


def spaces(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one.")] = None,
    family: Annotated[
        str | None, typer.Option("--family", help="Whose channels: mobile_resnet, resnet, mobile_spade ...")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", min=8, help="Pixels of a side; 256 by default.")] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", help="How MACs are counted; gan-compression by default.")
    ] = None,
    macs: Annotated[float | None, typer.Option("--macs", help="Count the configurations within this limit.")] = None,
    as_json: Json = False,
) -> None:
    """List the named spaces, or show one: every configuration of channels counted, or the operations to choose from."""
    from slimgen.nets.profile import OPERATION_SPACES, SPACES, choices_of, counted, sizes_of

    names = [*SPACES, *OPERATION_SPACES]
    if name is not None and name not in names:
        raise SlimgenError("a space has a known name", repr(name), nearest(name, names))
    counting = {"--family": family, "--size": size, "--convention": convention, "--macs": macs}
    given = ", ".join(option for option, value in counting.items() if value is not None)
    if given and name not in SPACES:
        came = f"{given} for {name}" if name else f"{given} without a name"
        rule = "--family, --size, --convention and --macs are of a named space of channels"
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
        title = f"{name} of {family or SPACES[name]} at {size or 256} x {size or 256}"
        told = counted(name, family or SPACES[name], size or 256, convention or "gan-compression", macs)
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
