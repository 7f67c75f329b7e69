"""Architectures with probabilities, and what every weight-sharing network offers."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError
from slimgen.nets.pieces import Piece
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space


@dataclass(frozen=True)
class Gates:
    """A point of a space in which some choices are mixed, by their names: one probability per option.

    Attributes:
        at: the options of all choices that are not mixed.
        options: of the mixed choices.
        probabilities: tensors (options,), in the order of the options.
        only: the position of the one option that is run; the others are not even computed.
    """

    at: Genotype
    options: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    probabilities: Mapping[str, Tensor] = field(default_factory=dict)
    only: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def uniform(cls, space: Space, at: Genotype, mixed: str) -> "Gates":
        """Equal probabilities for every choice of `space` whose name starts with `mixed`, the rest as in `at`."""
        choices = {name: choice for name, choice in space.items() if isinstance(choice, Choice)}
        options = {name: choice.options for name, choice in choices.items() if name.startswith(mixed)}
        return cls(at, options, {name: torch.full((len(of),), 1.0 / len(of)) for name, of in options.items()})

    @classmethod
    def corner(cls, space: Space, at: Genotype) -> "Gates":
        """The genotype `at` as gates: every choice mixed, with probability one for its option."""
        options = cls.uniform(space, at, "").options
        one_hot = {name: torch.tensor([float(option == at[name]) for option in of]) for name, of in options.items()}
        return cls(at, options, one_hot)


Arch = Genotype | Gates
"""What a supernet's forward takes: a genotype is the one-hot case of gates."""
Run = Callable[[Value], Tensor]
ModuleOf = Callable[[Value], nn.Module]


def pinned(arch: Arch) -> Genotype:
    """The options of an architecture's unmixed choices."""
    return arch.at if isinstance(arch, Gates) else arch


def branches(arch: Arch, name: str) -> list[tuple[Value, Tensor | None]]:
    """The options to run for one choice, each with its weight; None means that it runs alone, unweighted."""
    if isinstance(arch, Gates) and name in arch.probabilities:
        weighted = list(zip(arch.options[name], arch.probabilities[name], strict=True))
        return [weighted[arch.only[name]]] if name in arch.only else [*weighted]
    return [(pinned(arch)[name], None)]


def mixed(arch: Arch, name: str, run: Run, recompute: bool = False, module: ModuleOf | None = None) -> Tensor:
    """One choice of an architecture applied: the sum of its options' outputs, each times its weight (DARTS, Eq. 2).

    Args:
        arch: a genotype runs its option alone.
        name: of the choice.
        run: an option to its output; the outputs of all options have one shape.
        recompute: the weighted branches keep nothing for the backward pass, which computes them a second time: the
            memory of one branch instead of all, for about a third more time. The gradients are the same.
        module: an option to the module that `run` uses for it. The second computation then starts from its buffers
            (running statistics, singular vectors) as they were before the first, and leaves them as they are.
    """
    weighted = [(option, weight) for option, weight in branches(arch, name) if weight is not None]
    if not weighted:
        return run(pinned(arch)[name])
    return weighted_sum(weighted, run, recompute, module)


def weighted_sum(
    weighted: Iterable[tuple[Value, Tensor]], run: Run, recompute: bool = False, module: ModuleOf | None = None
) -> Tensor:
    """The sum of options' outputs, each times its weight, a scalar; arguments as of `mixed`."""
    again = recompute and torch.is_grad_enabled()
    terms = (
        _recomputed(run, option, weight, module(option) if module else None) if again else weight * run(option)
        for option, weight in weighted
    )
    return functools.reduce(torch.add, terms)  # DARTS, Eq. 2


def _recomputed(run: Run, option: Value, weight: Tensor, module: nn.Module | None) -> Tensor:
    """The weighted output of one option, of which only the inputs are kept."""
    parts = [part for part in module.modules() if part.training] if module is not None else []
    before = [(part, name, buffer.clone()) for part in parts for name, buffer in part.named_buffers(recurse=False)]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _as_before(before)

    # The product is inside, since the gradient of the weight would otherwise keep the output.
    out: Tensor = checkpoint(lambda: weight * run(option), use_reentrant=False, context_fn=contexts)
    return out


@contextmanager
def _as_before(before: list[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    """Other buffers for a while. They are exchanged, not written, so graphs that hold the present ones stay sound."""
    present = [(part, name, part.get_buffer(name)) for part, name, _ in before]
    try:
        for part, name, buffer in before:
            setattr(part, name, buffer)
        yield
    finally:
        for part, name, buffer in present:
            setattr(part, name, buffer)


class Supernet(nn.Module, ABC):
    """A network that holds the weights of every architecture of its space.

    The architecture is an argument of `forward`, never hidden state, so a supernet can be shared, checkpointed and
    evaluated at several architectures at once.
    """

    space: Space

    @abstractmethod
    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, C, H, W) through the sub-network of one architecture."""

    @abstractmethod
    def extract(self, genotype: Genotype) -> nn.Module:
        """The sub-network alone: plain PyTorch, physically small, with copies of the weights.

        Raises:
            SpaceError: a genotype of another space.
        """

    @abstractmethod
    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the extracted sub-network costs on one image, in closed form."""

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """The sub-network in parts whose latencies add up, for a table of latencies; the first takes the images.

        Raises:
            RecipeError: sub-networks of this family are not known in parts.
        """
        rule = "a limit on latency_ms needs a supernet that is known in pieces"
        raise RecipeError(rule, type(self).__name__, "limit macs instead")
