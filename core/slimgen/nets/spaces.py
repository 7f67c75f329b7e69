"""All named spaces: of channels, with the family that each is of unless another is asked for, and of operations."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from slimgen.errors import SlimgenError, nearest
from slimgen.nets.alphagan.space import alphagan_space
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, space_of
from slimgen.nets.gan_compression import once_for_all_spade
from slimgen.nets.gan_compression.families import FAMILIES
from slimgen.nets.resnet import channels
from slimgen.nets.resnet.channels import write_config
from slimgen.nets.sngan.discriminator import discriminator_space
from slimgen.search import Choice
from slimgen.search.grid import Grid

_ROWS = 1 << 15
"""Configurations counted at a time: few enough that they stay in the processor's cache."""

SPACES = dict.fromkeys(channels.SPACES, "mobile_resnet") | dict.fromkeys(once_for_all_spade.SPACES, "mobile_spade")
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
    channels_of = {name: FAMILIES[family].space(name).size for name, family in SPACES.items()}
    return channels_of | {name: space.size for name, space in OPERATION_SPACES.items()}


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
    kind = FAMILIES[family]
    space = kind.space(name)

    def costs(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        return kind.cost_of([columns[part] for part in kind.names], size).as_dict(convention)

    facts: dict[str, object] = {"configurations": space.size, "convention": convention}
    for end, genotype in (("smallest", space.smallest()), ("largest", space.largest())):
        cost = costs(genotype)
        facts |= {
            end: write_config(kind.config(genotype)),
            f"{end}_macs": cost["macs"],
            f"{end}_params": cost["params"],
        }
    grid = Grid(space)
    parts = (grid.columns(start, min(start + _ROWS, len(grid))) for start in range(0, len(grid), _ROWS))
    every = np.concatenate([costs(columns)["macs"] for columns in parts])
    facts["median_macs"] = int(np.median(every))
    return facts if macs is None else {**facts, "limit": int(macs), "within_the_limit": int((every <= macs).sum())}
