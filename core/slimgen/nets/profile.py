"""Costs of networks and sizes of named spaces, without training anything."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from slimgen import nets
from slimgen.cost.formula import Cost
from slimgen.cost.latency import torch_latency
from slimgen.errors import RecipeError, SlimgenError, nearest
from slimgen.nets.alphagan.description import alphagan_space
from slimgen.nets.configurations import write_config
from slimgen.nets.cyclegan_nas.space import DiscriminatorShape, GeneratorShape, space_of
from slimgen.nets.gan_compression.families import FAMILIES, searchable
from slimgen.nets.resnet.description import CHANNELS as RESNET
from slimgen.nets.sngan.discriminator import SPACE as DISCRIMINATOR_SPACE
from slimgen.nets.spade.description import CHANNELS as SPADE
from slimgen.search import Choice
from slimgen.search.grid import Grid
from slimgen.size import Size


@dataclass(frozen=True)
class Network:
    """A generator or discriminator of a family, on images of one size in pixels."""

    family: str
    options: Mapping[str, object]
    height: int
    width: int
    discriminator: bool

    def cost(self) -> Cost:
        """Return the cost, in closed form or counted; raise SlimgenError where options are missing or mistyped."""
        noun = nets.DISCRIMINATOR if self.discriminator else nets.GENERATOR
        try:
            nets.check_network(noun, self.about, self.family)
        except RecipeError as error:
            hint = error.hint or "give options as --key value, and tables as JSON files"
            raise SlimgenError(error.rule, error.got, hint) from None
        count = nets.discriminator_cost if self.discriminator else nets.generator_cost
        return count(self.family, self.height, self.width, **self.options)

    @property
    def about(self) -> dict[str, object]:
        """Family and options in one mapping, as in a recipe."""
        return {**self.options, "family": self.family}

    def latency(self, threads: int, runs: int) -> dict[str, str | int | float]:
        """Measure the latency of one image, with drawn weights."""
        build: Callable[..., nn.Module] = nets.build_discriminator if self.discriminator else nets.build_generator
        length = None if self.discriminator else nets.noise_length(self.family, **self.options)
        own = ":" in self.family
        channels = int(str(self.options.get("inputs", 6 if self.discriminator and not own else 3)))
        shape: tuple[int, ...] = (1, channels, self.height, self.width) if length is None else (1, length)
        net = build(
            self.family, **self.options, **({} if length is None or own else {"size": (self.height, self.width)})
        )
        try:
            return torch_latency(net, shape, threads=threads, runs=runs, channels_last=True)._asdict()
        except (Exception, SystemExit) as error:  # a user's network may raise anything
            if not own:
                raise
            raise SlimgenError(f"{self.family!r} must take a tensor of shape {shape}", repr(error)) from error


def is_discriminator(family: str, only: bool = False) -> bool:
    """Return whether a family is one of discriminators; a name of both kinds is a generator's unless `only` is set.

    Raises:
        SlimgenError: there is no such family, or no such discriminator family where `only` is set.
    """
    if ":" in family:
        return only
    known = [*nets.DISCRIMINATORS, *(() if only else nets.GENERATORS)]
    if family not in known:
        hint = f"{nearest(family, known)} Name your own class as package.module:Class or file.py:Class"
        raise SlimgenError(f"no network family is called {family!r}", None, hint)
    return only or family not in nets.GENERATORS


_ROWS = 1 << 15  # configurations counted at a time: few enough to stay in the CPU's cache

SPACES = dict.fromkeys(RESNET.spaces, "mobile_resnet") | dict.fromkeys(SPADE.spaces, "mobile_spade")
OPERATION_SPACES = {
    "alphagan": alphagan_space(),
    "alphagan-no-deconvolution": alphagan_space(deconvolution=False),
    "alphagan-discriminator": DISCRIMINATOR_SPACE,
    "cyclegan_nas": space_of(GeneratorShape()),
    "cyclegan_nas-discriminator": space_of(DiscriminatorShape()),
}
"""The spaces of the differentiable methods; CycleGANAS searches two networks of each kind, of which these list one."""


def sizes_of() -> dict[str, int]:
    """Return the number of configurations in each space."""
    channels = {name: kind.space(name).size for kind in (RESNET, SPADE) for name in kind.spaces}
    return channels | {name: space.size for name, space in OPERATION_SPACES.items()}


def choices_of(name: str) -> dict[str, object]:
    """Return the size of a space of operations and the options of each of its choices."""
    space = OPERATION_SPACES[name]
    options = {place: choice.options for place, choice in space.items() if isinstance(choice, Choice)}
    return {"configurations": space.size, "choices": options}


def counted(name: str, family: str, size: Size, convention: str, macs: float | None) -> dict[str, object]:
    """Compute the cost of every configuration in a space of channels, in closed form.

    Args:
        name: a key of `SPACES`.
        family: the generator family with these channels.
        size: of the images.
        convention: for counting MACs.
        macs: a limit; if given, the configurations within it are counted.

    Returns:
        The number of configurations, the smallest, the largest, and their MACs and parameters; the median MACs.

    Raises:
        SlimgenError: the family is unknown, or the limit is not a positive number.
    """
    if family not in FAMILIES:
        raise SlimgenError(f"no family with a space of channels is called {family!r}", None, nearest(family, FAMILIES))
    if macs is not None and not (math.isfinite(macs) and macs > 0):
        raise SlimgenError("--macs must be a positive number", macs)
    channels, description = searchable(family).channels, searchable(family).described(family, {})
    space = channels.space(name)

    def costs(columns: Mapping[str, Any]) -> Any:
        return description.cost(*size, [columns[part] for part in channels.names]).as_dict(convention)

    facts: dict[str, object] = {"configurations": space.size, "convention": convention}
    for end, genotype in (("smallest", space.smallest()), ("largest", space.largest())):
        cost, config = costs(genotype), write_config(channels.config(genotype))
        facts |= {end: config, f"{end}_macs": cost["macs"], f"{end}_params": cost["params"]}
    grid = Grid(space)
    parts = (grid.columns(start, min(start + _ROWS, len(grid))) for start in range(0, len(grid), _ROWS))
    every = np.concatenate([costs(columns)["macs"] for columns in parts])
    facts["median_macs"] = int(np.median(every))
    return facts if macs is None else {**facts, "limit": int(macs), "within_the_limit": int((every <= macs).sum())}
