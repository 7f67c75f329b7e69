"""An exponential moving average of weights."""

import copy
from typing import Any

import torch
from torch import nn


class Ema:
    """Keeps a copy of a module whose weights trail the module's.

    Args:
        module: the module to follow.
        decay: share of the old average that stays at each update.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.source, self.decay = module, decay
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the module; buffers are copied."""
        for average, weight in zip(self.module.parameters(), self.source.parameters(), strict=True):
            average.lerp_(weight, 1 - self.decay)
        for kept, new in zip(self.module.buffers(), self.source.buffers(), strict=True):
            kept.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights."""
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes averaged weights back."""
        self.module.load_state_dict(state)
