"""Architectures with probabilities: the continuous relatives of a genotype."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Choice, Space


@dataclass(frozen=True)
class Gates:
    """A point of a space in which some choices are mixed: one probability per option.

    Attributes:
        at: the options of all choices that are not mixed.
        probabilities: name of a mixed choice to a tensor (options,), in the order of its options.
    """

    at: Genotype
    probabilities: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def uniform(cls, space: Space, at: Genotype, mixed: str) -> "Gates":
        """Equal probabilities for every choice of `space` whose name starts with `mixed`, the rest as in `at`."""
        names = [name for name in space if name.startswith(mixed)]
        choices = {name: space[name] for name in names}
        return cls(
            at,
            {
                name: torch.full((len(choice.options),), 1.0 / len(choice.options))
                for name, choice in choices.items()
                if isinstance(choice, Choice)
            },
        )


Arch = Genotype | Gates
"""What a supernet's forward takes: a genotype is the one-hot case of gates."""


def pinned(arch: Arch) -> Genotype:
    """The options of an architecture's unmixed choices."""
    return arch.at if isinstance(arch, Gates) else arch


def branches(arch: Arch, name: str, options: tuple[Value, ...]) -> list[tuple[Value, Tensor | None]]:
    """The options to run for one choice, each with its weight; None means that it runs alone."""
    if isinstance(arch, Gates) and name in arch.probabilities:
        return list(zip(options, arch.probabilities[name], strict=True))
    return [(pinned(arch)[name], None)]
