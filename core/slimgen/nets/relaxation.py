"""Continuous relaxations: the logits of a space's choices as a module, so that gradients search it."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from slimgen.errors import RecipeError
from slimgen.nets.supernet import Gates
from slimgen.search.dimension import Choice, Mask
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

Kind = Literal["softmax", "gumbel", "straight-through", "sampled"]
"""How logits become gates: see `Relaxation`."""


@dataclass(frozen=True)
class Temperature:
    """An exponential schedule: `start` at step 0, `end` from step `steps` on, the same ratio between any two steps."""

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if not (self.start >= self.end > 0 and self.steps > 0):
            raise RecipeError("a temperature is above 0 and does not rise, in at least one step", self)

    def __call__(self, step: int) -> float:
        """The temperature at a step."""
        return float(self.start * (self.end / self.start) ** (min(step, self.steps) / self.steps))


class Relaxation(nn.Module):
    """Logits for every choice of a space that has at least two options (DARTS, Liu et al. 2019, section 2.2).

    Kinds of gates:

    - ``softmax``: the softmax of the logits; every branch runs.
    - ``gumbel``: softmax((logits + g) / temperature), g of Gumbel's distribution (Jang et al. 2017, Eq. 2).
    - ``straight-through``: the one-hot of gumbel's largest going forward, gumbel's gradient going back.
    - ``sampled``: as straight-through, but only the branch that was drawn runs (ProxylessNAS, Cai et al. 2019, section
      3.2); the gradient comes through its weight alone.

    Args:
        space: of choices.
        seed: of the first logits, which depend on nothing else.
        spread: standard deviation of the first logits.
        kind: of gates.
        temperature: of the Gumbel kinds; None is 1 throughout.

    Raises:
        RecipeError: a space with masks, an unknown kind, a negative spread, or a temperature for softmax.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        spread: float = 1e-3,
        kind: Kind = "softmax",
        temperature: Temperature | None = None,
    ) -> None:
        super().__init__()
        if masks := [name for name, dimension in space.items() if isinstance(dimension, Mask)]:
            raise RecipeError("only choices can be relaxed", f"the mask {masks[0]!r}")
        if kind not in (known := ("softmax", "gumbel", "straight-through", "sampled")):
            raise RecipeError("a relaxation is of a known kind", repr(kind), f"known: {', '.join(known)}")
        if kind == "softmax" and temperature is not None:
            raise RecipeError("a softmax relaxation has no temperature", temperature, "leave it out, or use gumbel")
        if not spread >= 0:
            raise RecipeError("the spread of the first logits is not negative", spread)
        self.space, self.kind, self.temperature = space, kind, temperature
        choices = {name: choice for name, choice in space.items() if isinstance(choice, Choice)}
        self.options = {name: choice.options for name, choice in choices.items() if choice.size > 1}
        self._at = space.largest()
        generator = torch.Generator().manual_seed(seed)
        for name, options in self.options.items():
            logits = nn.Parameter(spread * torch.randn(len(options), generator=generator))
            self.register_parameter(_parameter(name), logits)

    def logits(self, name: str) -> nn.Parameter:
        """The logits (options,) of one choice."""
        return self.get_parameter(_parameter(name))

    def gates(self, step: int) -> Gates:
        """The gates of one step, through which gradients reach the logits.

        The noise of the Gumbel kinds is drawn on the CPU from PyTorch's global generator, which `fit` seeds at every
        step.
        """
        if self.kind == "softmax":
            return Gates(self._at, self.options, {name: self.logits(name).softmax(0) for name in self.options})
        tau = self.temperature(step) if self.temperature is not None else 1.0
        soft = {}
        for name in self.options:
            logits = self.logits(name)
            # A Gumbel number is minus the logarithm of an exponential one.
            noise = -torch.empty(logits.shape, device="cpu").exponential_().log()
            soft[name] = ((logits + noise.to(logits)) / tau).softmax(0)  # Jang et al. 2017, Eq. 2
        if self.kind == "gumbel":
            return Gates(self._at, self.options, soft)
        # Exactly one-hot, with the gradient of `part`.
        one_hot = {name: nn.functional.one_hot(part.detach().argmax(), len(part)) for name, part in soft.items()}
        hard = {name: one_hot[name].to(part) + (part - part.detach()) for name, part in soft.items()}
        if self.kind == "straight-through":
            return Gates(self._at, self.options, hard)
        drawn = _positions(soft)
        return Gates(self._at_positions(drawn), self.options, hard, drawn)

    @torch.no_grad()
    def detached(self, step: int) -> Gates:
        """The gates of one step as constants, for phases that train weights only."""
        return self.gates(step)

    def draw(self, step: int) -> tuple[Gates]:
        """The gates of one step, as `fit` asks for the architectures of a step or of a phase."""
        return (self.gates(step),)

    @torch.no_grad()
    def probabilities(self) -> dict[str, Tensor]:
        """The softmax (options,) of every choice's logits, whatever the kind: constants on the CPU."""
        if not self.options:
            return {}
        # One transfer from the device for all of them.
        logits = torch.cat([self.logits(name).float() for name in self.options]).cpu()
        parts = torch.split(logits, [len(options) for options in self.options.values()])
        return {name: part.softmax(0) for name, part in zip(self.options, parts, strict=True)}

    @torch.no_grad()
    def log_probabilities(self) -> dict[str, dict[Value, float]]:
        """For every choice, option to the logarithm of its probability in nats: finite even where that one is 0."""
        return {
            name: dict(zip(options, self.logits(name).double().log_softmax(0).tolist(), strict=True))
            for name, options in self.options.items()
        }

    def argmax(self) -> Genotype:
        """The genotype of the most probable options; of equal ones the first."""
        return self._at_positions(_positions(self.probabilities()))

    def entropy(self) -> dict[str, float]:
        """The entropy of every choice in nats: the logarithm of its number of options if undecided, 0 if decided."""
        return {
            name: -math.fsum(p * math.log(p) for p in part.double().tolist() if p > 0)
            for name, part in self.probabilities().items()
        }

    def _at_positions(self, positions: dict[str, int]) -> Genotype:
        options = {name: self.options[name][position] for name, position in positions.items()}
        return self.space.settle({**self._at, **options})


def _parameter(name: str) -> str:
    """A parameter's name for a choice's: PyTorch allows no dots, and the names of choices have no slash."""
    return "logits/" + name.replace(".", "/")


def _positions(probabilities: dict[str, Tensor]) -> dict[str, int]:
    """The position of the largest probability of every choice."""
    if not probabilities:
        return {}
    largest = torch.stack([part.detach().argmax() for part in probabilities.values()]).tolist()
    return dict(zip(probabilities, largest, strict=True))
