"""Networks profiled, and named spaces counted, without training anything."""

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
    """A network of a family of generators or discriminators, on images of one size, in pixels."""

    family: str
    options: Mapping[str, object]
    height: int
    width: int
    discriminator: bool

    def cost(self) -> Cost:
        """The cost in closed form, or counted; raises SlimgenError where options are missing or of the wrong kind."""
        noun = nets.DISCRIMINATOR if self.discriminator else nets.GENERATOR
        try:
            nets.check_network(noun, self.about, self.family)
        except RecipeError as error:
            hint = error.hint or "options read --key value, and tables are JSON files"
            raise SlimgenError(error.rule, error.got, hint) from None
        count = nets.discriminator_cost if self.discriminator else nets.generator_cost
        return count(self.family, self.height, self.width, **self.options)

    @property
    def about(self) -> dict[str, object]:
        """Family and options together, as a recipe has them."""
        return {**self.options, "family": self.family}

    def latency(self, threads: int, runs: int) -> dict[str, str | int | float]:
        """The time of one image, measured with weights that are drawn."""
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
        except (Exception, SystemExit) as error:  # a network that is not ours fails in its own way
            if not own:
                raise
            raise SlimgenError(f"{self.family!r} must take a tensor of shape {shape}", repr(error)) from error


def is_discriminator(family: str, only: bool = False) -> bool:
    """Whether a family is one of discriminators: if it is both, it is one of generators unless asked otherwise.

    Raises:
        SlimgenError: no such family, or, where `only` discriminators count, none of them.
    """
    if ":" in family:
        return only
    known = [*nets.DISCRIMINATORS, *(() if only else nets.GENERATORS)]
    if family not in known:
        hint = f"{nearest(family, known)} A class of your own is package.module:Class, or file.py:Class"
        raise SlimgenError("a network is of a known family", repr(family), hint)
    return only or family not in nets.GENERATORS


_ROWS = 1 << 15  # counted at a time: few enough that they stay in the processor's cache

SPACES = dict.fromkeys(RESNET.spaces, "mobile_resnet") | dict.fromkeys(SPADE.spaces, "mobile_spade")
OPERATION_SPACES = {
    "alphagan": alphagan_space(),
    "alphagan-no-deconvolution": alphagan_space(deconvolution=False),
    "alphagan-discriminator": DISCRIMINATOR_SPACE,
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


def counted(name: str, family: str, size: Size, convention: str, macs: float | None) -> dict[str, object]:
    """Every configuration of a space of channels, counted in closed form.

    Args:
        name: of `SPACES`.
        family: whose channels they are.
        size: of images.
        convention: of MACs.
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
