"""Continuous relaxations: the logits of a space's choices as a module, so that gradients can search the space."""

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
    """An exponential schedule from `start` at step 0 to `end` at step `steps` and after."""

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if not (self.start >= self.end > 0 and self.steps > 0):
            raise RecipeError("a temperature must be above 0 and must not rise, over at least one step", self)

    def __call__(self, step: int) -> float:
        """Return the temperature at a step."""
        return float(self.start * (self.end / self.start) ** (min(step, self.steps) / self.steps))


class Relaxation(nn.Module):
    """Logits for every choice of a space that has at least two options (DARTS, Liu et al. 2019, section 2.2).

    Kinds of gates:

    - ``softmax``: the softmax of the logits; every branch runs.
    - ``gumbel``: softmax((logits + g) / temperature), g of Gumbel's distribution (Jang et al. 2017, Eq. 2).
    - ``straight-through``: one-hot at gumbel's largest in the forward pass, gumbel's gradient in the backward pass.
    - ``sampled``: as straight-through, but only the drawn branch runs (ProxylessNAS, Cai et al. 2019, section 3.2);
      the gradient flows through its weight alone.

    Args:
        space: must consist of choices only.
        seed: for the initial logits, which depend on nothing else.
        spread: standard deviation of the initial logits.
        kind: of the gates.
        temperature: of the Gumbel kinds; None is 1 at every step.

    Raises:
        RecipeError: the space has masks, the kind is unknown, the spread is negative, or softmax has a temperature.
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
            raise RecipeError(f"no kind of relaxation is called {kind!r}", None, f"known: {', '.join(known)}")
        if kind == "softmax" and temperature is not None:
            raise RecipeError("a softmax relaxation takes no temperature", temperature, "leave it out, or use gumbel")
        if not spread >= 0:
            raise RecipeError("the spread of the initial logits must be at least 0", spread)
        self.space, self.kind, self.temperature = space, kind, temperature
        choices = {name: choice for name, choice in space.items() if isinstance(choice, Choice)}
        self.options = {name: choice.options for name, choice in choices.items() if choice.size > 1}
        self._at = space.largest()
        generator = torch.Generator().manual_seed(seed)
        for name, options in self.options.items():
            logits = nn.Parameter(spread * torch.randn(len(options), generator=generator))
            self.register_parameter(_parameter(name), logits)

    def logits(self, name: str) -> nn.Parameter:
        """Return the logits (options,) of one choice."""
        return self.get_parameter(_parameter(name))

    def gates(self, step: int) -> Gates:
        """Return the gates of one step; gradients flow through them to the logits.

        The Gumbel kinds draw their noise on the CPU from PyTorch's global generator, which `fit` seeds at every step.
        """
        if self.kind == "softmax":
            return Gates(self._at, self.options, {name: self.logits(name).softmax(0) for name in self.options})
        tau = self.temperature(step) if self.temperature is not None else 1.0
        soft = {}
        for name in self.options:
            logits = self.logits(name)
            # If E is exponentially distributed, -log(E) is Gumbel distributed.
            noise = -torch.empty(logits.shape, device="cpu").exponential_().log()
            soft[name] = ((logits + noise.to(logits)) / tau).softmax(0)  # Jang et al. 2017, Eq. 2
        if self.kind == "gumbel":
            return Gates(self._at, self.options, soft)
        # One-hot in value, with the gradient of `part`.
        one_hot = {name: nn.functional.one_hot(part.detach().argmax(), len(part)) for name, part in soft.items()}
        hard = {name: one_hot[name].to(part) + (part - part.detach()) for name, part in soft.items()}
        if self.kind == "straight-through":
            return Gates(self._at, self.options, hard)
        drawn = _positions(soft)
        return Gates(self._at_positions(drawn), self.options, hard, drawn)

    @torch.no_grad()
    def detached(self, step: int) -> Gates:
        """Return the gates of one step as constants, for phases that train only weights."""
        return self.gates(step)

    def draw(self, step: int) -> tuple[Gates]:
        """Return the gates of one step as the tuple of architectures that `fit` expects from a draw."""
        return (self.gates(step),)

    @torch.no_grad()
    def probabilities(self) -> dict[str, Tensor]:
        """Return the softmax (options,) of every choice's logits, for any kind, as constants on the CPU."""
        if not self.options:
            return {}
        # A single transfer from the device.
        logits = torch.cat([self.logits(name).float() for name in self.options]).cpu()
        parts = torch.split(logits, [len(options) for options in self.options.values()])
        return {name: part.softmax(0) for name, part in zip(self.options, parts, strict=True)}

    @torch.no_grad()
    def log_probabilities(self) -> dict[str, dict[Value, float]]:
        """Return each option's log-probability in nats, by choice; finite even where the probability rounds to 0."""
        return {
            name: dict(zip(options, self.logits(name).double().log_softmax(0).tolist(), strict=True))
            for name, options in self.options.items()
        }

    def argmax(self) -> Genotype:
        """Return the genotype of the most probable options; the first one of equals."""
        return self._at_positions(_positions(self.probabilities()))

    def entropy(self) -> dict[str, float]:
        """Return the entropy of every choice in nats: log(number of options) if undecided, 0 if decided."""
        return {
            name: -math.fsum(p * math.log(p) for p in part.double().tolist() if p > 0)
            for name, part in self.probabilities().items()
        }

    def _at_positions(self, positions: dict[str, int]) -> Genotype:
        options = {name: self.options[name][position] for name, position in positions.items()}
        return self.space.settle({**self._at, **options})


def _parameter(name: str) -> str:
    """Return the parameter name of a choice: PyTorch allows no dots, and names of choices have no slash."""
    return "logits/" + name.replace(".", "/")


def _positions(probabilities: dict[str, Tensor]) -> dict[str, int]:
    """Return the position of each choice's largest probability."""
    if not probabilities:
        return {}
    largest = torch.stack([part.detach().argmax() for part in probabilities.values()]).tolist()
    return dict(zip(probabilities, largest, strict=True))
