"""The layers of CF-GAN's image-translation space (section 3.1); those of each space are built from rows and sliced."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Row
from slimgen.nets.cf_gan import upscale_layers as upscaling
from slimgen.nets.cf_gan.upscale_layers import (
    Convolution,
    LastConvolution,
    RecursiveBlock,
    ScaledConvolution,
    build_upscaling,
)
from slimgen.nets.functional import OutputConvolution
from slimgen.nets.layers import weights_of
from slimgen.nets.norm import InstanceNorm2d

Index = Tensor | int | None
"""The channels to keep: their indices in order, the number of first ones, or None for all."""


class ConvNorm(nn.Module):
    """A convolution, an affine InstanceNorm, and a ReLU where the row asks for it.

    The norm's weight is CF-GAN's scale factor gamma (A.6). The convolution has no bias, which the norm would cancel.
    """

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.conv, self.norm = weights_of(row), InstanceNorm2d(row.outputs, affine=True)
        self.relu = "relu" in row.after

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out = self.norm(self.conv(images))
        return torch.relu_(out) if self.relu else out


class Climb(nn.Module):
    """Nearest x2, a convolution that halves the width, and a 1x1 skip from the stem's feature of that size."""

    def __init__(self, body: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, images: Tensor, stem: Tensor) -> Tensor:
        """Map (N, C, H, W) and the stem's (N, S, 2H, 2W) to (N, C', 2H, 2W)."""
        out: Tensor = self.body(functional.interpolate(images, scale_factor=2.0, mode="nearest")) + self.skip(stem)
        return out


class Residual(nn.Module):
    """A residual chain of convolutions, the middle ones at the inner width, added to its input."""

    def __init__(self, *chain: nn.Module) -> None:
        super().__init__()
        self.chain = nn.Sequential(*chain)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, trunk, H, W) to the same shape."""
        out: Tensor = images + self.chain(images)
        return out


class Mixed(nn.Module):
    """A weighted sum of several operators' outputs: an edge of a continuous relaxation."""

    def __init__(self, operators: Sequence[nn.Module], weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.operators, self.weights = nn.ModuleList(operators), weights

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, trunk, H, W) to the same shape."""
        terms = (weight * operator(images) for weight, operator in zip(self.weights, self.operators, strict=True))
        return torch.stack(list(terms)).sum(0)


def build(rows: Sequence[Row], scaled: bool = False, times: int = 1) -> nn.Module:
    """Build the module of a layer's rows: a convolution with or without norm, a climb, or a residual operator.

    For `scaled` and `times`, which only the space for super-resolution has, see `build_upscaling`.
    """
    if rows[0].name == "output":
        inputs, outputs, kernel = rows[0].inputs, rows[0].outputs, rows[0].kernel
        if "reflect" in rows[0].before:
            return OutputConvolution(inputs, outputs, kernel)
        return LastConvolution(inputs, outputs, kernel, padding=kernel // 2)
    if rows[0].norm == "scale":
        return build_upscaling(tuple(rows), scaled, times)
    first, *rest = (ConvNorm(row) if row.norm else weights_of(row) for row in rows)
    if not rest:
        return first
    return Residual(first, *rest) if rows[-1].norm else Climb(first, rest[0])


def convolutions(layer: nn.Module) -> list[nn.Module]:
    """Return the convolutions of a layer, with their norms, in the order of its rows."""
    if isinstance(layer, (Climb, upscaling.Climb)):
        return [layer.body, layer.skip]
    return list(layer.chain) if isinstance(layer, (Residual, RecursiveBlock)) else [layer]


def written(writer: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that decide a convolution's output channels: where they are zero, the channel is zero.

    They are gamma and beta of its norm (with gamma alone at zero, relu(beta) would remain), or its scale and bias;
    without either, its weights and biases.
    """
    if isinstance(writer, ConvNorm):
        return [writer.norm.weight, writer.norm.bias]
    if isinstance(writer, ScaledConvolution):
        return [writer.scale, writer.get_parameter("conv.bias")]
    return list(writer.parameters(recurse=False))


def strength(writers: Sequence[nn.Module]) -> Tensor:
    """Return each channel's strength (C,) in a feature, over all convolutions that write to it.

    A norm counts with its scale factor gamma (CF-GAN, A.6), a convolution without norm with its filter's L2 norm.
    """
    together: Tensor = torch.linalg.vector_norm(torch.stack([_scale(writer).float() for writer in writers]), dim=0)
    return together


def _scale(writer: nn.Module) -> Tensor:
    first = written(writer)[0].detach()
    length: Tensor = torch.linalg.vector_norm(first.reshape(len(first), -1), dim=1)
    return length


def ranking(writers: Sequence[nn.Module]) -> Tensor:
    """Return the indices of a feature's channels, the strongest first; in a grouped feature, within each group."""
    # Stable, so that equal factors keep the first channels on every machine.
    each = strength(writers).view(groups_of(writers), -1)
    order = torch.argsort(each, dim=1, descending=True, stable=True)
    starts = torch.arange(len(each), device=order.device) * each.shape[1]
    return (order + starts[:, None]).flatten()


def strongest(writers: Sequence[nn.Module], width: int) -> Index:
    """Return the indices of the `width` strongest channels, ascending; None where that is all of them.

    In a grouped feature equally many stay in each group, so that the small convolution has the same groups.
    """
    if width >= len(written(writers[0])[0]):
        return None
    groups = groups_of(writers)
    return ranking(writers).view(groups, -1)[:, : width // groups].flatten().sort().values


def first(writers: Sequence[nn.Module], width: int) -> Index:
    """Return the first `width` channels as `strongest` returns the strongest; a plain number without groups."""
    full, groups = written(writers[0])[0], groups_of(writers)
    if width >= len(full):
        return None
    if groups == 1:
        return width
    return torch.arange(len(full), device=full.device).view(groups, -1)[:, : width // groups].flatten()


def groups_of(writers: Sequence[nn.Module]) -> int:
    """Return the groups of a feature that a grouped convolution writes; 1 for others, depthwise ones included."""
    convs = [writer.conv if isinstance(writer, (ConvNorm, Convolution)) else writer for writer in writers]
    grouped = [conv.groups for conv in convs if isinstance(conv, nn.Conv2d) and conv.weight.shape[1] > 1]
    return max(grouped, default=1)


def sliced(
    wide: nn.Module, rows: Sequence[Row], kept: Sequence[tuple[Index, Index]], live: bool, times: int = 1
) -> nn.Module:
    """Return a layer with some of the channels of a super-generator's layer; the layer itself if live and whole.

    Args:
        wide: the super-generator's layer.
        rows: of the layer to return.
        kept: for each convolution, the output and input channels to keep; a depthwise one ignores the input channels.
        live: True for differentiable views of the wide weights, to train through them; False for copies.
        times: of a block that is applied several times.
    """
    if live and times == getattr(wide, "times", 1) and all(index is None for pair in kept for index in pair):
        return wide
    thin = _copy(_skeleton(tuple(rows), live, times))
    for to, source, (outputs, inputs) in zip(convolutions(thin), convolutions(wide), kept, strict=True):
        if isinstance(to, ConvNorm) and isinstance(source, ConvNorm):
            _hold(to.norm, source.norm, outputs, None, live)
            to, source = to.conv, source.conv
        elif isinstance(to, Convolution) and isinstance(source, ScaledConvolution):
            _hold(to.conv, source.conv, outputs, inputs, live)
            if not live:  # the scales become part of the weights
                to.conv.weight.detach().mul_(part(source.scale.detach(), 0, outputs).view(-1, 1, 1, 1))
                continue
        _hold(to, source, outputs, inputs, live)
    return thin


@lru_cache(maxsize=1 << 12)
def _skeleton(rows: tuple[Row, ...], scaled: bool, times: int) -> nn.Module:
    """Build the layer of these rows, without weights."""
    with torch.device("meta"):
        return build(rows, scaled, times)


def _copy(module: nn.Module) -> nn.Module:
    """Copy a module's structure, sharing no dictionaries; building it from scratch takes ten times as long."""
    copy = module.__class__.__new__(module.__class__)
    # All dictionaries are copied, including those of the hooks.
    own = {name: value.copy() if isinstance(value, dict) else value for name, value in module.__dict__.items()}
    copy.__dict__.update(own)
    copy._modules = {name: part if part is None else _copy(part) for name, part in module._modules.items()}
    return copy


def _hold(thin: nn.Module, wide: nn.Module, outputs: Index, inputs: Index, live: bool) -> None:
    """Give a module the weights of a wide one, as differentiable views or as copied parameters."""
    groups = wide.groups if isinstance(wide, nn.Conv2d) else 1
    for name, weight in list(wide.named_parameters(recurse=False)):
        delattr(thin, name)
        value = taken(weight, outputs, inputs, groups)
        if live:
            object.__setattr__(thin, name, value)
        else:
            # In the default layout, so that the small network does not depend on the supernet's memory layout.
            setattr(thin, name, nn.Parameter(value.detach().clone(memory_format=torch.contiguous_format)))


def taken(weight: Tensor, outputs: Index, inputs: Index, groups: int = 1) -> Tensor:
    """Select the output channels of a weight, a bias or a norm's factor, and the input channels of a weight.

    A depthwise weight has no input channels of its own. Of a grouped one, `inputs` are equally many in each group.
    """
    rows = part(weight, 0, outputs)
    if weight.dim() == 1 or inputs is None or (groups > 1 and weight.shape[1] == 1):
        return rows
    if groups == 1:
        return part(rows, 1, inputs)
    assert isinstance(inputs, Tensor)
    within = inputs.view(groups, -1) % weight.shape[1]
    return torch.cat([part.index_select(1, index) for part, index in zip(rows.chunk(groups), within, strict=True)])


def part(weight: Tensor, dimension: int, index: Index) -> Tensor:
    """Select channels of a weight along one dimension."""
    if index is None:
        return weight
    if isinstance(index, int):
        return weight.narrow(dimension, 0, index)
    return weight.index_select(dimension, index)
