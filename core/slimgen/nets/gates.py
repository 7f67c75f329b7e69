"""Architectures with probabilities: the continuous relatives of a genotype."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space


@dataclass(frozen=True)
class Gates:
    """A point of a space in which some choices are mixed: one probability per option.

    Attributes:
        at: the options of all choices that are not mixed.
        options: name of a mixed choice to its options.
        probabilities: name of a mixed choice to a tensor (options,), in the order of its options.
    """

    at: Genotype
    options: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    probabilities: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def uniform(cls, space: Space, at: Genotype, mixed: str) -> "Gates":
        """Equal probabilities for every choice of `space` whose name starts with `mixed`, the rest as in `at`."""
        options = {
            name: choice.options
            for name, choice in space.items()
            if name.startswith(mixed) and isinstance(choice, Choice)
        }
        equal = {name: torch.full((len(those),), 1.0 / len(those)) for name, those in options.items()}
        return cls(at, options, equal)


Arch = Genotype | Gates
"""What a supernet's forward takes: a genotype is the one-hot case of gates."""


def pinned(arch: Arch) -> Genotype:
    """The options of an architecture's unmixed choices."""
    return arch.at if isinstance(arch, Gates) else arch


def branches(arch: Arch, name: str) -> list[tuple[Value, Tensor | None]]:
    """The options to run for one choice, each with its weight; None means that it runs alone."""
    if isinstance(arch, Gates) and name in arch.probabilities:
        return list(zip(arch.options[name], arch.probabilities[name], strict=True))
    return [(pinned(arch)[name], None)]
