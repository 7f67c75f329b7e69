"""Adam as fast in channels_last as elsewhere, learning-rate schedules of the papers, and averages of weights."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015), fused.

    The kernel walks weights of four dimensions in the order of their dimensions; in channels_last that jumps through
    memory, four times as slow. Each update is elementwise, so a view in the order of memory gets the same numbers.
    The rate is that of parameter groups that have none. A group with a `momentum` is moved by gradient descent with
    that momentum instead: so are scale factors that a proximal step makes sparse, since Adam moves each by its rate
    however small its gradient is, which undoes the step.
    """

    def __init__(self, groups: Any, rate: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, rate, betas, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
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
            weight.grad = gradient  # which says who took part

    def _init_group(self, group: dict[str, Any], *lists: Any) -> bool:
        complex_numbers: bool = super()._init_group(group, *lists)  # type: ignore[no-untyped-call]
        walked = lists[:4]  # weights, gradients and both averages
        for index, tensors in enumerate(zip(*walked, strict=True)):
            if all(_channels_last(tensor) for tensor in tensors):
                for held in walked:
                    held[index] = held[index].detach().permute(0, 2, 3, 1)
        return complex_numbers


def _channels_last(tensor: Tensor) -> bool:
    """Whether a tensor lies channels_last and not contiguous as well."""
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


Rate = Callable[[int], float]


def constant_then_linear(steps: int, decay: float) -> Rate:
    """Constant, then linear to zero over the last part of the steps, a share of 0 to 1.

    So do pix2pix, CycleGAN, GAN Compression and CF-GAN.
    """
    start = steps - round(steps * decay)
    return lambda step: held_then_linear(step, start, steps)


def held_then_linear(step: int, start: int, end: int) -> float:
    """1 before the step `start`, then linear to zero at `end`."""
    # The last step still learns: it is one step's fall above zero.
    return 1.0 if step < start else 1.0 - (step - start) / (end - start + 1)


class Ema:
    """Keeps a copy of a module whose weights trail the module's; `decay` of the old average stays at each update."""

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
