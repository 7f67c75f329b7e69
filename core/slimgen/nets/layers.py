"""Rows as modules: the layers that a network's description stands for, and the base class of described families."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.cost.rows import Row
from slimgen.nets.norm import InstanceNorm2d

_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": InstanceNorm2d,
    "affine instance": lambda channels: InstanceNorm2d(channels, affine=True),
    "batch": nn.BatchNorm2d,
    "plain batch": lambda channels: nn.BatchNorm2d(channels, affine=False),
}

Make = Callable[[Row], nn.Module]


def weights_of(row: Row, padding: int | None = None) -> nn.Module:
    """Build a row's convolution (dense, depthwise or transposed) or linear layer.

    Args:
        row: the layer's description.
        padding: pixels on every side; None pads so that only the stride changes the size.
    """
    if row.kind == "linear":
        return nn.Linear(row.inputs, row.outputs, row.bias)
    if padding is None:
        padding = 0 if "reflect" in row.before else (row.kernel - 1) // 2
    channels, shape = (row.inputs, row.outputs), (row.kernel, row.stride, padding)
    groups = row.inputs if row.kind.startswith("depthwise") else row.groups
    if row.kind.endswith("transposed"):
        # This output padding makes the sides exactly `stride` times as long.
        return nn.ConvTranspose2d(*channels, *shape, row.stride - row.kernel + 2 * padding, groups, row.bias)
    return nn.Conv2d(*channels, *shape, groups=groups, bias=row.bias)


def norm_of(row: Row) -> nn.Module:
    """Build the norm of a row."""
    return _NORMS[row.norm](row.outputs)


def layers_of(row: Row, free: Mapping[str, Make], weights: Make = weights_of) -> list[nn.Module]:
    """Build the layers of a row, in order.

    Args:
        row: the description.
        free: for each name that rows use for a layer without weights, the function that builds it.
        weights: builds the layer with weights.
    """
    before, after = ([free[name](row) for name in names] for names in (row.before, row.after))
    return [*before, weights(row), *([norm_of(row)] if row.norm else []), *after]


class Separable(nn.Module):
    """A separable convolution: depthwise, InstanceNorm, pointwise, as `slimgen.cost.rows.separable` describes it."""

    def __init__(self, row: Row, weights: Make) -> None:
        super().__init__()
        self.conv = nn.Sequential(*(layer for part in row.within for layer in layers_of(part, {}, weights)))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) to (N, outputs, H', W')."""
        out: Tensor = self.conv(x)
        return out


class Described(nn.Module):
    """A network whose options are a frozen dataclass that describes it in rows and computes its cost.

    The fields of `Options` are the arguments of the constructor and of `cost`.

    Raises:
        SlimgenError: an option is out of range.
    """

    Options: ClassVar[Callable[..., Any]]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = self.Options(**options)

    @classmethod
    def cost(cls, height: int, width: int, **options: Any) -> Cost:
        """Return the cost of a network with these options on one image of this size, in closed form.

        Raises:
            SlimgenError: an option is out of range, or the network cannot take images of this size.
        """
        cost: Cost = cls.Options(**options).cost(height, width)
        return cost


def load_copies(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load copies of weights and buffers, which may be views of others, into a network on the meta device."""
    copies = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    net.load_state_dict(copies, assign=True)
