"""`slimgen spaces`: the named spaces, how large they are, and what their networks cost or choose from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slimgen.cli.options import Json, print_json
from slimgen.errors import SlimgenError, nearest

if TYPE_CHECKING:
    from slimgen.search import Space

_ROWS = 1 << 15
"""Configurations counted at a time: few enough that they stay in the processor's cache."""


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
    from slimgen.nets.gan_compression.families import FAMILIES
    from slimgen.nets.spaces import OPERATION_SPACES, SPACES

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
        sizes = {known: FAMILIES[kind].space(known).size for known, kind in SPACES.items()}
        sizes |= {known: space.size for known, space in OPERATION_SPACES.items()}
        if as_json:
            print_json({known: {"configurations": number} for known, number in sizes.items()})
        for known, number in sizes.items() if not as_json else ():
            typer.echo(f"{known:<26}{number:>26,} configurations")
        return
    if name in OPERATION_SPACES:
        title, told = name, _choices(OPERATION_SPACES[name])
    else:
        title = f"{name} of {family or SPACES[name]} at {size or 256} x {size or 256}"
        told = _counted(name, family or SPACES[name], size or 256, convention or "gan-compression", macs)
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


def _choices(space: "Space") -> dict[str, object]:
    """The size of a space of operations, and what each of its choices is made from."""
    from slimgen.search import Choice

    options = {name: choice.options for name, choice in space.items() if isinstance(choice, Choice)}
    return {"configurations": space.size, "choices": options}


def _counted(name: str, family: str, size: int, convention: str, macs: float | None) -> dict[str, object]:
    """Every configuration of a space, counted in closed form."""
    import math

    import numpy as np

    from slimgen.nets.gan_compression.families import FAMILIES
    from slimgen.nets.resnet.channels import write_config
    from slimgen.search.grid import Grid

    if family not in FAMILIES:
        raise SlimgenError("spaces of channels are of a known family", repr(family), nearest(family, FAMILIES))
    if macs is not None and not (math.isfinite(macs) and macs > 0):
        raise SlimgenError("--macs is a positive number", macs)
    kind = FAMILIES[family]
    space = kind.space(name)

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        return kind.cost_of([columns[part] for part in kind.names], size).as_dict(convention)

    ends = {"smallest": space.smallest(), "largest": space.largest()}
    told: dict[str, object] = {"configurations": space.size, "convention": convention}
    for end, genotype in ends.items():
        cost = costs(genotype)
        told |= {end: write_config(kind.config(genotype)), f"{end}_macs": cost["macs"], f"{end}_params": cost["params"]}
    grid = Grid(space)
    parts = (grid.columns(start, min(start + _ROWS, len(grid))) for start in range(0, len(grid), _ROWS))
    counts = np.concatenate([costs(columns)["macs"] for columns in parts])
    told["median_macs"] = int(np.median(counts))
    return told if macs is None else {**told, "limit": int(macs), "within_the_limit": int((counts <= macs).sum())}
