"""`slimgen spaces`: the named spaces of channels, how large they are and what their networks cost."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from slimgen.cli.options import Json, print_json
from slimgen.errors import SlimgenError, nearest


def spaces(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="This one, with the range of its costs.")] = None,
    family: Annotated[str, typer.Option("--family", help="Whose costs: mobile_resnet or resnet.")] = "mobile_resnet",
    size: Annotated[int, typer.Option("--size", min=8, help="Pixels of a side.")] = 256,
    convention: Annotated[str, typer.Option("--convention", help="How MACs are counted.")] = "gan-compression",
    macs: Annotated[float | None, typer.Option("--macs", help="Count the configurations within this limit.")] = None,
    as_json: Json = False,
) -> None:
    """List GAN Compression's spaces of channels, or count every configuration of one."""
    from slimgen.nets.channels import SPACES, channel_space

    if name is None:
        facts = {known: {"configurations": channel_space(known).size} for known in SPACES}
        if as_json:
            print_json(facts)
        for known, values in facts.items() if not as_json else ():
            typer.echo(f"{known:<22}{values['configurations']:>12,} configurations")
        return
    if name not in SPACES:
        raise SlimgenError("a space of channels has a known name", repr(name), nearest(name, SPACES))
    told = _counted(name, family, size, convention, macs)
    if as_json:
        print_json(told)
        return
    typer.echo(f"{name} of {family} at {size} x {size}")
    for key, value in told.items():
        text = f"{value:,}" if isinstance(value, int) else str(value)
        typer.echo(f"  {key.replace('_', ' '):<24}{text:>24}")


def _counted(name: str, family: str, size: int, convention: str, macs: float | None) -> dict[str, object]:
    """Every configuration of a space, counted in closed form."""
    from slimgen.nets.channels import NAMES, channel_space, to_config, write_config
    from slimgen.nets.resnet_cost import configured_cost, dense, separable
    from slimgen.search import Budget
    from slimgen.search.grid import Grid

    blocks = {"mobile_resnet": separable, "resnet": dense}
    if family not in blocks:
        raise SlimgenError("spaces of channels are of a known family", repr(family), nearest(family, blocks))
    space = channel_space(name)

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        config = [columns[part] for part in NAMES]
        return configured_cost(blocks[family], config, size).as_dict(convention)

    ends = {"smallest": space.smallest(), "largest": space.largest()}
    told: dict[str, object] = {"configurations": space.size, "convention": convention}
    for end, genotype in ends.items():
        cost = costs(genotype)
        told |= {end: write_config(to_config(genotype)), f"{end}_macs": cost["macs"], f"{end}_params": cost["params"]}
    if macs is not None:
        told |= {"limit": int(macs), "within_the_limit": len(Grid(space).band(costs, Budget(macs=macs)))}
    return told
