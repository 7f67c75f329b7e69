"""All named spaces: of channels, with the family that each is of unless another is asked for, and of operations."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from slimgen.errors import SlimgenError, nearest
from slimgen.nets.alphagan.space import alphagan_space
from slimgen.nets.configurations import write_config
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, space_of
from slimgen.nets.gan_compression.families import FAMILIES, searchable
from slimgen.nets.resnet.channels import CHANNELS as RESNET
from slimgen.nets.sngan.discriminator import discriminator_space
from slimgen.nets.spade.channels import CHANNELS as SPADE
from slimgen.search import Choice
from slimgen.search.grid import Grid

_ROWS = 1 << 15
"""Configurations counted at a time: few enough that they stay in the processor's cache."""

SPACES = dict.fromkeys(RESNET.spaces, "mobile_resnet") | dict.fromkeys(SPADE.spaces, "mobile_spade")
OPERATION_SPACES = {
    "alphagan": alphagan_space(),
    "alphagan-no-deconvolution": alphagan_space(deconvolution=False),
    "alphagan-discriminator": discriminator_space(),
    "cyclegan_nas": space_of(GeneratorShape()),
    "cyclegan_nas-discriminator": space_of(DiscriminatorShape()),
}
"""What the differentiable methods choose from: of CycleGANAS, which has two of each, one generator's and one
discriminator's."""


def sizes_of() -> dict[str, int]:
    """How many configurations each space has."""
    channels = {name: kind.space(name).size for kind in (RESNET, SPADE) for name in kind.spaces}
    return channels | {name: space.size for name, space in OPERATION_SPACES.items()}


def choices_of(name: str) -> dict[str, object]:
    """The size of a space of operations, and the options of each of its choices."""
    space = OPERATION_SPACES[name]
    options = {place: choice.options for place, choice in space.items() if isinstance(choice, Choice)}
    return {"configurations": space.size, "choices": options}


def counted(name: str, family: str, size: int, convention: str, macs: float | None) -> dict[str, object]:
    """Every configuration of a space of channels, counted in closed form.

    Args:
        name: of `SPACES`.
        family: whose channels they are.
        size: height and width of images in pixels.
        convention: how MACs are counted.
        macs: a limit within which configurations are counted, too.

    Raises:
        SlimgenError: an unknown family, or a limit that is no positive number.
    """
    if family not in FAMILIES:
        raise SlimgenError("spaces of channels are of a known family", repr(family), nearest(family, FAMILIES))
    if macs is not None and not (math.isfinite(macs) and macs > 0):
        raise SlimgenError("--macs is a positive number", macs)
    channels, description = searchable(family).channels, searchable(family).described(family, {})
    space = channels.space(name)

    def costs(columns: Mapping[str, Any]) -> Any:
        return description.cost(size, size, [columns[part] for part in channels.names]).as_dict(convention)

    facts: dict[str, object] = {"configurations": space.size, "convention": convention}
    for end, genotype in (("smallest", space.smallest()), ("largest", space.largest())):
        cost = costs(genotype)
        facts |= {
            end: write_config(channels.config(genotype)),
            f"{end}_macs": cost["macs"],
            f"{end}_params": cost["params"],
        }
    grid = Grid(space)
    parts = (grid.columns(start, min(start + _ROWS, len(grid))) for start in range(0, len(grid), _ROWS))
    every = np.concatenate([costs(columns)["macs"] for columns in parts])
    facts["median_macs"] = int(np.median(every))
    return facts if macs is None else {**facts, "limit": int(macs), "within_the_limit": int((every <= macs).sum())}
