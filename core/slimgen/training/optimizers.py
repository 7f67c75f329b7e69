"""Adam that is also fast in channels_last, the papers' learning-rate schedules, and averages of weights."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """Fused Adam (Kingma and Ba 2015).

    The fused kernel visits 4-d weights in the order of their dimensions; in channels_last that jumps through memory and
    is four times as slow. Updates are elementwise, so a view in memory order gives the same numbers.

    `rate` applies to parameter groups without a rate of their own. A group with a `momentum` uses gradient descent with
    that momentum instead. Scale factors that a proximal step makes sparse need this, because Adam moves each factor by
    about its rate even where the gradient is small, which undoes the proximal step.
    """

    def __init__(self, groups: Any, rate: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, rate, betas, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        plain = [(group, weight) for group in self.param_groups if "momentum" in group for weight in group["params"]]
        gradients = [weight.grad for _, weight in plain]
        for (group, weight), gradient in zip(plain, gradients, strict=True):
            if gradient is None:
                continue
            state = self.state[weight]
            if "velocity" not in state:
                state["velocity"] = torch.zeros_like(weight)
            weight.sub_(state["velocity"].mul_(group["momentum"]).add_(gradient), alpha=group["lr"])
            weight.grad = None
        super().step()
        for (_, weight), gradient in zip(plain, gradients, strict=True):
            weight.grad = gradient  # `shrink` reads it

    def _init_group(self, group: dict[str, Any], *lists: Any) -> bool:
        complex_numbers: bool = super()._init_group(group, *lists)  # type: ignore[no-untyped-call]
        walked = lists[:4]  # weights, gradients and both averages
        for index, tensors in enumerate(zip(*walked, strict=True)):
            if all(_channels_last(tensor) for tensor in tensors):
                for held in walked:
                    held[index] = held[index].detach().permute(0, 2, 3, 1)
        return complex_numbers


def _channels_last(tensor: Tensor) -> bool:
    """Return whether a tensor is channels_last and not also contiguous."""
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


Rate = Callable[[int], float]


def constant_then_linear(steps: int, decay: float) -> Rate:
    """Return a rate that is constant, then falls linearly to zero over the last share `decay` (0 to 1) of the steps.

    It is the schedule of pix2pix, CycleGAN, GAN Compression and CF-GAN.
    """
    start = steps - round(steps * decay)
    return lambda step: held_then_linear(step, start, steps)


def held_then_linear(step: int, start: int, end: int) -> float:
    """Return 1 before the step `start`, then a value that falls linearly to zero at `end`."""
    # The last step still has a rate: one step's decrease above zero.
    return 1.0 if step < start else 1.0 - (step - start) / (end - start + 1)


class Ema:
    """An exponential moving average of a module's weights; each update keeps the share `decay` of the old average."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.source, self.decay = module, decay
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the module's weights; copy the buffers."""
        for average, weight in zip(self.module.parameters(), self.source.parameters(), strict=True):
            average.lerp_(weight, 1 - self.decay)
        for kept, new in zip(self.module.buffers(), self.source.buffers(), strict=True):
            kept.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the averaged weights."""
        self.module.load_state_dict(state)
