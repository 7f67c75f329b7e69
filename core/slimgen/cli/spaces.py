"""`slimgen spaces`: the named spaces of channels, how large they are and what their networks cost."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from slimgen.cli.options import Json, print_json
from slimgen.errors import SlimgenError, nearest

_ROWS = 1 << 15
"""Configurations counted at a time: few enough that they stay in the processor's cache."""


def spaces(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Count every configuration of this one.")] = None,
    family: Annotated[
        str | None, typer.Option("--family", help="Whose: mobile_resnet, resnet, mobile_spade ...")
    ] = None,
    size: Annotated[int, typer.Option("--size", min=8, help="Pixels of a side.")] = 256,
    convention: Annotated[str, typer.Option("--convention", help="How MACs are counted.")] = "gan-compression",
    macs: Annotated[float | None, typer.Option("--macs", help="Count the configurations within this limit.")] = None,
    as_json: Json = False,
) -> None:
    """List GAN Compression's spaces of channels, or count every configuration of one."""
    from slimgen.nets.once_for_all_families import FAMILIES
    from slimgen.nets.spaces import SPACES

    if name is None:
        facts = {known: {"configurations": FAMILIES[kind].space(known).size} for known, kind in SPACES.items()}
        if as_json:
            print_json(facts)
        for known, values in facts.items() if not as_json else ():
            typer.echo(f"{known:<22}{values['configurations']:>12,} configurations")
        return
    if name not in SPACES:
        raise SlimgenError("a space of channels has a known name", repr(name), nearest(name, SPACES))
    told = _counted(name, family or SPACES[name], size, convention, macs)
    if as_json:
        print_json(told)
        return
    typer.echo(f"{name} of {family or SPACES[name]} at {size} x {size}")
    for key, value in told.items():
        text = f"{value:,}" if isinstance(value, int) else str(value)
        typer.echo(f"  {key.replace('_', ' '):<24}{text:>24}")


def _counted(name: str, family: str, size: int, convention: str, macs: float | None) -> dict[str, object]:
    """Every configuration of a space, counted in closed form."""
    import math

    import numpy as np

    from slimgen.nets.channels import write_config
    from slimgen.nets.once_for_all_families import FAMILIES
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
