"""The layers of CF-GAN's image-translation space (section 3.1), and how they are built of rows and sliced."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Row
from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.output import OutputConvolution

Index = Tensor | None
"""Channels that stay, in ascending order; None means all of them."""


class ConvNorm(nn.Module):
    """Convolution, affine InstanceNorm, ReLU where the row says so.

    The norm's weight is the scale factor gamma of CF-GAN, A.6. The convolution has no bias: the norm would remove it.
    """

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.conv, self.norm = convolution(row), InstanceNorm2d(row.outputs, affine=True)
        self.relu = "relu" in row.after

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out = self.norm(self.conv(images))
        return torch.relu_(out) if self.relu else out

    @property
    def gamma(self) -> nn.Parameter:
        """The scale factors (outputs,)."""
        return self.norm.weight


class Climb(nn.Module):
    """Nearest x2, a convolution that halves the width, and a 1x1 skip from the stem's feature of that size."""

    def __init__(self, body: ConvNorm, skip: nn.Conv2d) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, images: Tensor, stem: Tensor) -> Tensor:
        """(N, C, H, W) and the stem's (N, S, 2H, 2W) to (N, C', 2H, 2W)."""
        out: Tensor = self.body(functional.interpolate(images, scale_factor=2.0, mode="nearest")) + self.skip(stem)
        return out


class Residual(nn.Module):
    """A chain of convolutions, the middle ones at the inner width, added to what enters."""

    def __init__(self, *chain: ConvNorm) -> None:
        super().__init__()
        self.chain = nn.Sequential(*chain)

    def forward(self, images: Tensor) -> Tensor:
        """(N, trunk, H, W) to the same."""
        out: Tensor = images + self.chain(images)
        return out

    @property
    def convolutions(self) -> list[ConvNorm]:
        """The chain; its first norm ranks the inner channels (CF-GAN, A.6)."""
        return [layer for layer in self.chain if isinstance(layer, ConvNorm)]


class Mixed(nn.Module):
    """Several operators, their outputs summed with weights: an edge of a continuous relaxation."""

    def __init__(self, operators: Sequence[nn.Module], weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.operators, self.weights = nn.ModuleList(operators), weights

    def forward(self, images: Tensor) -> Tensor:
        """(N, trunk, H, W) to the same."""
        terms = (weight * operator(images) for weight, operator in zip(self.weights, self.operators, strict=True))
        return torch.stack(list(terms)).sum(0)


def build(rows: Sequence[Row]) -> nn.Module:
    """The module of a layer's rows: a convolution, with or without norm; a climb; or a residual operator."""
    parts = [ConvNorm(row) if row.norm else convolution(row) for row in rows]
    first, *rest = parts
    if not rest:
        return first
    last = rest[-1]
    if isinstance(first, ConvNorm) and isinstance(last, nn.Conv2d):
        return Climb(first, last)
    return Residual(*(part for part in parts if isinstance(part, ConvNorm)))


def convolution(row: Row) -> nn.Conv2d:
    """The convolution of a row. Padding keeps the size, or halves it with stride 2, where nothing is reflected."""
    kind = OutputConvolution if row.name == "output" else nn.Conv2d
    padding = 0 if "reflect" in row.before else row.kernel // 2
    groups = row.inputs if row.kind == "depthwise" else 1
    return kind(row.inputs, row.outputs, row.kernel, row.stride, padding, groups=groups, bias=row.bias)


def strongest(gamma: Tensor, width: int) -> Index:
    """The `width` channels of largest absolute scale factor, in ascending order; None where that is all of them."""
    if width >= gamma.numel():
        return None
    # Stable, so that equal factors keep the first channels on every machine.
    order = torch.argsort(gamma.detach().abs(), descending=True, stable=True)
    return order[:width].sort().values


def sliced_conv(conv: nn.Conv2d, outputs: Index, inputs: Index, live: bool) -> nn.Conv2d:
    """A convolution on some of another's channels.

    Args:
        conv: the wide convolution.
        outputs: output channels that stay.
        inputs: input channels that stay; ignored by a depthwise convolution, whose inputs are its outputs.
        live: True gives differentiable views of the wide weights, for training through them; False gives copies.
    """
    depthwise = conv.groups > 1
    weight = _at(conv.weight, outputs)
    if not depthwise and inputs is not None:
        weight = weight.index_select(1, inputs)
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
    _hold(thin, "weight", weight, live)
    if conv.bias is not None:
        _hold(thin, "bias", _at(conv.bias, outputs), live)
    return thin


def sliced(layer: ConvNorm, outputs: Index, inputs: Index, live: bool) -> ConvNorm:
    """A ConvNorm on some of another's channels; the layer itself where it is live and whole."""
    if live and outputs is None and inputs is None:
        return layer
    thin = ConvNorm.__new__(ConvNorm)
    nn.Module.__init__(thin)
    thin.relu = layer.relu
    thin.conv = sliced_conv(layer.conv, outputs, inputs, live)
    weight = _at(layer.gamma, outputs)
    with torch.device("meta"):
        thin.norm = InstanceNorm2d(weight.numel(), affine=True)
    _hold(thin.norm, "weight", weight, live)
    _hold(thin.norm, "bias", _at(layer.norm.bias, outputs), live)
    return thin


def sliced_residual(operator: Residual, trunk: Index, inner: int, live: bool) -> Residual:
    """An operator on some of its trunk's channels and the `inner` strongest of its inner ones."""
    first, *middle, last = operator.convolutions
    kept = strongest(first.gamma, inner)
    if live and trunk is None and kept is None:
        return operator
    return Residual(
        sliced(first, kept, trunk, live),
        *(sliced(layer, kept, kept, live) for layer in middle),
        sliced(last, trunk, kept, live),
    )


def _at(weight: Tensor, index: Index) -> Tensor:
    """A weight's output channels at `index`."""
    return weight if index is None else weight.index_select(0, index)


def _hold(module: nn.Module, name: str, value: Tensor, live: bool) -> None:
    """Gives a module a tensor in place of a parameter: a view that gradients pass through, or a parameter's copy."""
    delattr(module, name)
    if live:
        object.__setattr__(module, name, value)
    else:
        # A copy in torch's own layout, so that the small network does not depend on how the supernet lay in memory.
        copy = value.detach().clone(memory_format=torch.contiguous_format)
        setattr(module, name, nn.Parameter(copy))
