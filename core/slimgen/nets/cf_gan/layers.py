"""Layers that can be sliced: a convolution with the affine norm that carries its scale factors."""

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from slimgen.nets.norm import InstanceNorm2d

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Index = Tensor | None
"""Channels that stay, in ascending order; None means all of them."""


class ConvNorm(nn.Module):
    """Convolution, affine InstanceNorm, ReLU.

    The norm's weight is the scale factor gamma of CF-GAN, A.6. The convolution has no bias: the norm would remove it.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel; padding keeps the size (zeros), or halves it with stride 2.
        stride: 1 or 2.
        depthwise: one filter a channel; needs `inputs == outputs`.
        relu: whether a ReLU follows the norm.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False, relu: bool = True
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = InstanceNorm2d(outputs, affine=True)
        self.relu = relu

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out = self.norm(self.conv(images))
        return torch.relu_(out) if self.relu else out

    @property
    def gamma(self) -> Tensor:
        """The scale factors (outputs,)."""
        return self.norm.weight


def strongest(gamma: Tensor, width: int) -> Index:
    """The `width` channels of largest absolute scale factor, in ascending order; None where that is all of them."""
    if width >= gamma.numel():
        return None
    # Stable, so that equal factors keep the first channels on every machine.
    order = torch.argsort(gamma.detach().abs(), descending=True, stable=True)
    return order[:width].sort().values


def rows(weight: Tensor, index: Index) -> Tensor:
    """A weight's output channels at `index`."""
    return weight if index is None else weight.index_select(0, index)


def columns(weight: Tensor, index: Index) -> Tensor:
    """A weight's input channels at `index`."""
    return weight if index is None else weight.index_select(1, index)


def sliced_conv(conv: nn.Conv2d, outputs: Index, inputs: Index, live: bool) -> nn.Conv2d:
    """A convolution on some of another's channels.

    Args:
        conv: the wide convolution.
        outputs: output channels that stay.
        inputs: input channels that stay; ignored by a depthwise convolution, whose inputs are its outputs.
        live: True gives differentiable views of the wide weights, for training through them; False gives copies.
    """
    depthwise = conv.groups > 1
    weight = rows(conv.weight, outputs)
    if not depthwise:
        weight = columns(weight, inputs)
    channels = weight.shape[0] if depthwise else weight.shape[1]
    with torch.device("meta"):
        thin = type(conv)(
            channels,
            weight.shape[0],
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            (int(conv.padding[0]), int(conv.padding[1])),
            groups=channels if depthwise else 1,
            bias=conv.bias is not None,
        )
    hold(thin, "weight", weight, live)
    if conv.bias is not None:
        hold(thin, "bias", rows(conv.bias, outputs), live)
    return thin


def sliced(layer: ConvNorm, outputs: Index, inputs: Index, live: bool) -> ConvNorm:
    """A ConvNorm on some of another's channels; the layer itself where it is live and whole."""
    if live and outputs is None and inputs is None:
        return layer
    thin = ConvNorm.__new__(ConvNorm)
    nn.Module.__init__(thin)
    thin.relu = layer.relu
    thin.conv = sliced_conv(layer.conv, outputs, inputs, live)
    weight = rows(layer.norm.weight, outputs)
    with torch.device("meta"):
        thin.norm = InstanceNorm2d(weight.numel(), affine=True)
    hold(thin.norm, "weight", weight, live)
    hold(thin.norm, "bias", rows(layer.norm.bias, outputs), live)
    return thin


def hold(module: nn.Module, name: str, value: Tensor, live: bool) -> None:
    """Gives a module a tensor in place of a parameter: a view that gradients pass through, or a parameter's copy."""
    delattr(module, name)
    if live:
        object.__setattr__(module, name, value)
    else:
        # A copy in torch's own layout, so that the small network does not depend on how the supernet lay in memory.
        copy = value.detach().clone(memory_format=torch.contiguous_format)
        setattr(module, name, nn.Parameter(copy))


def all_of(kind: type[ModuleT], modules: Iterable[nn.Module] | nn.Module) -> list[ModuleT]:
    """Modules out of a container, known to be of one kind."""
    inside = modules.children() if isinstance(modules, nn.Module) else modules
    return [module for module in inside if isinstance(module, kind)]
