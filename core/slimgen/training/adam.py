"""PyTorch's fused Adam, as fast on weights in channels_last as on contiguous ones."""

from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015), fused.

    The kernel walks weights of four dimensions in the order of their dimensions; in channels_last that jumps through
    memory, four times as slow. Each update is elementwise, so a view in the order of memory gets the same numbers.

    Args:
        groups: parameter groups.
        rate: learning rate of groups without one of their own.
        betas: decays of the two averages.
    """

    def __init__(self, groups: Any, rate: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, rate, betas, fused=True)

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        averages: list[Tensor],
        squares: list[Tensor],
        *rest: Any,
    ) -> bool:
        complex_numbers: bool = super()._init_group(  # type: ignore[no-untyped-call]
            group, params, grads, averages, squares, *rest
        )
        for index, tensors in enumerate(zip(params, grads, averages, squares, strict=True)):
            if all(_channels_last(tensor) for tensor in tensors):
                for held in (params, grads, averages, squares):
                    held[index] = held[index].detach().permute(0, 2, 3, 1)
        return complex_numbers


def _channels_last(tensor: Tensor) -> bool:
    """Whether a tensor lies channels_last and not contiguous as well."""
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
