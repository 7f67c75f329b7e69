"""What is only run, and not trained, may overwrite what nobody reads again: a pass through memory less."""

import torch
from torch import Tensor, nn
from torch.overrides import has_torch_function_unary


class ReLU(nn.ReLU):
    """PyTorch's ReLU behind a norm, in place where nothing is trained."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named as in the class above)
        """Features of any shape, not below zero."""
        return torch.relu_(input) if may_overwrite(input) else torch.relu(input)


def may_overwrite(made: Tensor) -> bool:
    """Whether a tensor that was just made can be overwritten: no gradient will ask for it, and nobody watches."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or has_torch_function_unary(made))
