"""What a network of any family costs, counted and timed, without training it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from slimgen.cost.formula import Cost
from slimgen.cost.latency import torch_latency
from slimgen.errors import SlimgenError, nearest
from slimgen.nets import (
    DISCRIMINATORS,
    GENERATORS,
    build_discriminator,
    build_generator,
    discriminator_cost,
    generator_cost,
    noise_length,
)

_MISSING = re.compile(r"missing \d+ required .*arguments?: (.+)")
"""What Python says of a call that lacks options, which it quotes."""


@dataclass(frozen=True)
class Network:
    """A network of a family, on images of one size.

    Attributes:
        family: a name of `GENERATORS` or `DISCRIMINATORS`.
        options: arguments of its class.
        height: image height in pixels.
        width: image width in pixels.
        discriminator: which of the two it is.
    """

    family: str
    options: Mapping[str, object]
    height: int
    width: int
    discriminator: bool

    def cost(self) -> Cost:
        """The cost in closed form; raises SlimgenError where options are missing or of the wrong kind."""
        count = discriminator_cost if self.discriminator else generator_cost
        try:
            return count(self.family, self.height, self.width, **self.options)
        except TypeError as error:
            # A closed form computes with what it is given, so a text in place of a number fails inside.
            given = ", ".join(f"{name}={value!r}" for name, value in self.options.items()) or "no options"
            missing = _MISSING.search(str(error))
            lacking = re.findall(r"'(\w+)'", missing.group(1)) if missing else []
            hint = f"give {', '.join(f'--{name}' for name in lacking)}; tables as JSON files" if lacking else str(error)
            rule = f"the options of {self.family} must be complete and of the right kind"
            raise SlimgenError(rule, given, hint) from None

    def latency(self, threads: int, runs: int) -> dict[str, str | int | float]:
        """The time of one image, measured with weights that are drawn."""
        build: Callable[..., nn.Module] = build_discriminator if self.discriminator else build_generator
        length = None if self.discriminator else noise_length(self.family, **self.options)
        if length is not None:
            net, shape = build(self.family, **self.options, size=self.height), (1, length)
            return torch_latency(net, shape, threads=threads, runs=runs, channels_last=True).as_dict()
        channels = int(str(self.options.get("inputs", 6 if self.discriminator else 3)))
        net = build(self.family, **self.options)
        images = (1, channels, self.height, self.width)
        return torch_latency(net, images, threads=threads, runs=runs, channels_last=True).as_dict()


def is_discriminator(family: str, only: bool = False) -> bool:
    """Whether a family is one of discriminators: if it is both, it is one of generators unless asked otherwise.

    Raises:
        SlimgenError: no such family, or, where `only` discriminators count, none of them.
    """
    known = [*DISCRIMINATORS, *(() if only else GENERATORS)]
    if family not in known:
        raise SlimgenError("a network is of a known family", repr(family), nearest(family, known))
    return only or family not in GENERATORS
