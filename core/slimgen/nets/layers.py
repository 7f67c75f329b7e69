"""Rows as modules: the layers of a network from its description, and what the families described by rows share."""

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
    """The convolution of a row, dense, depthwise or transposed, or its linear layer.

    It pads by so many pixels on every side; by default, such that the stride alone changes the size.
    """
    if row.kind == "linear":
        return nn.Linear(row.inputs, row.outputs, row.bias)
    if padding is None:
        padding = 0 if "reflect" in row.before else (row.kernel - 1) // 2
    channels, shape = (row.inputs, row.outputs), (row.kernel, row.stride, padding)
    groups = row.inputs if row.kind.startswith("depthwise") else row.groups
    if row.kind.endswith("transposed"):
        # So that the sides are `stride` times as long as before.
        return nn.ConvTranspose2d(*channels, *shape, row.stride - row.kernel + 2 * padding, groups, row.bias)
    return nn.Conv2d(*channels, *shape, groups=groups, bias=row.bias)


def norm_of(row: Row) -> nn.Module:
    """The norm of a row."""
    return _NORMS[row.norm](row.outputs)


def layers_of(row: Row, free: Mapping[str, Make], weights: Make = weights_of) -> list[nn.Module]:
    """The layers of a row, in order; those without weights are made by `free`, by the names that rows give them."""
    before, after = ([free[name](row) for name in names] for names in (row.before, row.after))
    return [*before, weights(row), *([norm_of(row)] if row.norm else []), *after]


class Separable(nn.Module):
    """Depthwise, InstanceNorm, pointwise: a convolution taken apart, as `slimgen.cost.rows.separable` describes it."""

    def __init__(self, row: Row, weights: Make) -> None:
        super().__init__()
        self.conv = nn.Sequential(*(layer for part in row.within for layer in layers_of(part, {}, weights)))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to features (N, outputs, H', W')."""
        out: Tensor = self.conv(x)
        return out


class Described(nn.Module):
    """A network whose options are a frozen dataclass, which describes it in rows and says its cost.

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
        """What a network of these options costs on one image of this size, in closed form.

        Raises:
            SlimgenError: an option is out of range, or the size does not suit the network.
        """
        cost: Cost = cls.Options(**options).cost(height, width)
        return cost


def load_copies(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Gives a network on the meta device copies of weights and buffers, which may be parts of others."""
    copies = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    net.load_state_dict(copies, assign=True)
