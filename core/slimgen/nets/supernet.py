"""Gates, which are architectures with probabilities, and the interface of supernets."""

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
    """A point of a space in which some choices are mixed: they have one probability per option.

    Attributes:
        at: the options of all choices that are not mixed.
        options: name of each mixed choice to its options.
        probabilities: name of each mixed choice to a tensor (options,), in the order of its options.
        only: name of a mixed choice to the position of the one option that runs; the others are not computed.
    """

    at: Genotype
    options: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    probabilities: Mapping[str, Tensor] = field(default_factory=dict)
    only: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def uniform(cls, space: Space, at: Genotype, mixed: str) -> "Gates":
        """Return gates with equal probabilities for each choice whose name starts with `mixed`, the rest as in `at`."""
        choices = {name: choice for name, choice in space.items() if isinstance(choice, Choice)}
        options = {name: choice.options for name, choice in choices.items() if name.startswith(mixed)}
        return cls(at, options, {name: torch.full((len(of),), 1.0 / len(of)) for name, of in options.items()})

    @classmethod
    def corner(cls, space: Space, at: Genotype) -> "Gates":
        """Return the genotype `at` as gates: every choice mixed, with probability one for its option."""
        options = cls.uniform(space, at, "").options
        one_hot = {name: torch.tensor([float(option == at[name]) for option in of]) for name, of in options.items()}
        return cls(at, options, one_hot)


Arch = Genotype | Gates
"""The architecture argument of a supernet's forward; a genotype is the one-hot case of gates."""
Run = Callable[[Value], Tensor]
ModuleOf = Callable[[Value], nn.Module]


def pinned(arch: Arch) -> Genotype:
    """Return the options of an architecture's unmixed choices."""
    return arch.at if isinstance(arch, Gates) else arch


def branches(arch: Arch, name: str) -> list[tuple[Value, Tensor | None]]:
    """Return the options to run for one choice, each with its weight; weight None means it runs alone, unweighted."""
    if isinstance(arch, Gates) and name in arch.probabilities:
        weighted = list(zip(arch.options[name], arch.probabilities[name], strict=True))
        return [weighted[arch.only[name]]] if name in arch.only else [*weighted]
    return [(pinned(arch)[name], None)]


def mixed(arch: Arch, name: str, run: Run, recompute: bool = False, module: ModuleOf | None = None) -> Tensor:
    """Apply one choice of an architecture: the sum of its options' outputs, each times its weight (DARTS, Eq. 2).

    Args:
        arch: gates; or a genotype, which runs its option alone.
        name: of the choice.
        run: option to its output; the outputs of all options have the same shape.
        recompute: whether the backward pass computes weighted branches a second time instead of keeping their
            activations: the memory of one branch instead of all, for about a third more time, with equal gradients.
        module: option to the module that `run` uses for it. The second computation then starts from the module's
            buffers (running statistics, singular vectors) as they were before the first, and does not change them.
    """
    weighted = [(option, weight) for option, weight in branches(arch, name) if weight is not None]
    if not weighted:
        return run(pinned(arch)[name])
    return weighted_sum(weighted, run, recompute, module)


def weighted_sum(
    weighted: Iterable[tuple[Value, Tensor]], run: Run, recompute: bool = False, module: ModuleOf | None = None
) -> Tensor:
    """Return the sum of the options' outputs, each times its weight, a scalar; for the arguments see `mixed`."""
    again = recompute and torch.is_grad_enabled()
    terms = (
        _recomputed(run, option, weight, module(option) if module else None) if again else weight * run(option)
        for option, weight in weighted
    )
    return functools.reduce(torch.add, terms)  # DARTS, Eq. 2


def _recomputed(run: Run, option: Value, weight: Tensor, module: nn.Module | None) -> Tensor:
    """Return the weighted output of one option; only its inputs are kept for the backward pass."""
    parts = [part for part in module.modules() if part.training] if module is not None else []
    before = [(part, name, buffer.clone()) for part in parts for name, buffer in part.named_buffers(recurse=False)]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _as_before(before)

    # The product is inside because the gradient of the weight would otherwise keep the output.
    out: Tensor = checkpoint(lambda: weight * run(option), use_reentrant=False, context_fn=contexts)
    return out


@contextmanager
def _as_before(before: list[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    """Swap in earlier buffers for a while; they are swapped, not overwritten, so graphs that hold them stay valid."""
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
        """Run images (N, C, H, W) through the sub-network of one architecture."""

    @abstractmethod
    def extract(self, genotype: Genotype) -> nn.Module:
        """Return the sub-network alone: plain PyTorch, physically small, with copies of the weights.

        Raises:
            SpaceError: the genotype is of another space.
        """

    @abstractmethod
    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """Return the extracted sub-network's cost on one image, in closed form."""

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """Return the sub-network in pieces for a table of latencies, which add up; the first takes the images.

        Raises:
            RecipeError: sub-networks of this family cannot be split into pieces.
        """
        rule = "a limit on latency_ms needs a supernet that can be measured in pieces"
        raise RecipeError(rule, type(self).__name__, "limit macs instead")
