"""The once-for-all network of GAN Compression (section 3.3): every channel configuration in one set of weights.

It can start from the strongest channels of a wider ResNet generator: the pruning of Table 3.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Row, positions, weights_at
from slimgen.errors import CheckpointError
from slimgen.nets.configurations import Config
from slimgen.nets.functional import OutputConvolution, few_channels
from slimgen.nets.gan_compression.supernet import ChannelSupernet
from slimgen.nets.layers import Separable
from slimgen.nets.pieces import Piece
from slimgen.nets.resnet.description import CHANNELS, Widths, residual
from slimgen.nets.resnet.generator import MobileResnetGenerator, ResidualBlock, ResnetGenerator
from slimgen.nets.supernet import Arch, pinned
from slimgen.search.genotype import Genotype

_Convolution = nn.Conv2d | nn.ConvTranspose2d


class OnceForAll(ChannelSupernet):
    """A once-for-all ResNet generator with separable or dense parts (the paper's Table 4); see `ChannelSupernet`."""

    title = "ResNet"
    generators: ClassVar[Mapping[str, type[ResnetGenerator]]] = {
        "mobile_resnet": MobileResnetGenerator,
        "resnet": ResnetGenerator,
    }
    mobile = "mobile_resnet"
    channels = CHANNELS
    searched = "channels-48"
    shape = ("blocks", "inputs", "outputs")
    pruned = True
    chain = True
    model: nn.Sequential

    def _rows(self, config: Config) -> list[tuple[Row, range]]:
        """Return the rows of a sub-network with the positions of their layers, which are the same in the whole."""
        rows: list[Row] = self.description.rows(Widths.of(config, self.description.blocks))
        places = positions(rows)
        return [(row, places[row.name]) for row in rows]

    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """Return the images and the features for distillation; see `ResnetOptions.taps`."""
        taps, features, out = self.description.taps, [], images
        for row, places in self._rows(self.channels.config(pinned(arch))):
            for index in places:
                layer = self.model[index]
                out = out + _block(layer, out, row) if residual(row) else _sliced(layer, out, row.outputs)
            if row.name in taps:
                features.append(out)
        return out, features

    def prune_from(self, wide: nn.Module) -> None:
        """Copy the strongest channels of a wider generator; see `prune_into`."""
        assert isinstance(wide, ResnetGenerator)
        prune_into(self.model, wide)

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """See `Supernet`."""
        config = self.channels.config(genotype)
        return self.generators[self.family].pieces(height, width, config=config, **self.options)


def _sliced(layer: nn.Module, images: Tensor, width: int) -> Tensor:
    """Run a layer with its first channels: as many inputs as the images have, and `width` outputs."""
    channels = images.shape[1]
    if isinstance(layer, Separable):
        spatial, norm, pointwise = layer.conv
        return _sliced(pointwise, norm(_sliced(spatial, images, channels)), width)
    if isinstance(layer, nn.ConvTranspose2d):
        bias, groups = None if layer.bias is None else layer.bias[:width], 1 if layer.groups == 1 else channels
        weight, steps = layer.weight[:channels, :width], (layer.stride, layer.padding, layer.output_padding)
        return functional.conv_transpose2d(images, weight, bias, *steps, groups)  # type: ignore[arg-type]
    if isinstance(layer, nn.Conv2d):
        bias = None if layer.bias is None else layer.bias[:width]
        if isinstance(layer, OutputConvolution):
            return few_channels(images, layer.weight[:, :channels], bias)
        if layer.groups > 1:
            return functional.conv2d(images, layer.weight[:width], bias, layer.stride, layer.padding, groups=channels)
        return functional.conv2d(images, layer.weight[:width, :channels], bias, layer.stride, layer.padding)
    out: Tensor = layer(images)
    return out


def _block(block: nn.Module, images: Tensor, row: Row) -> Tensor:
    """Run a residual block without its skip, with the widths of the convolutions within a row."""
    assert isinstance(block, ResidualBlock)
    widths, out = iter(convolution.outputs for convolution in row.within), images
    for layer in block.conv_block:
        out = _sliced(layer, out, next(widths) if isinstance(layer, nn.Conv2d | Separable) else 0)
    return out


@torch.no_grad()
def prune_into(narrow: nn.Sequential, wide: ResnetGenerator) -> None:
    """Copy the strongest channels of a generator into the layers of a narrower one (the pruning of Table 3).

    A channel's strength is the L1 norm of the filters that write it; the trunk is written by the second halving and by
    every residual block. The strongest channel comes first, since a once-for-all network trains the first ones most.

    Raises:
        CheckpointError: the layers do not correspond, or a layer of `wide` is narrower.
    """
    if list(narrow.state_dict()) != list(wide.model.state_dict()):
        rule = "pruning needs an original of the supernet's family and depth"
        raise CheckpointError(rule, "another one", "set supernet.prune: false")
    pairs = {name: (narrow[at], wide.model[at]) for name, at in weights_at(wide.options.rows()).items()}
    blocks = [layer for _, layer in pairs.values() if isinstance(layer, ResidualBlock)]
    trunk = sum((_strength(_pair(block)[1]) for block in blocks), _strength(pairs["trunk"][1]))
    stay: Tensor | None = None
    for name, (target, source) in pairs.items():
        if isinstance(source, ResidualBlock) and isinstance(target, ResidualBlock):
            into, back = _pair(source)
            thin_into, thin_back = _pair(target)
            inner = _best(_strength(into), _writer(thin_into).out_channels)
            assert stay is not None
            _copy(thin_into, into, stay, inner)
            _copy(thin_back, back, inner, stay)
            continue
        keep = _best(trunk if name == "trunk" else _strength(source), _writer(target).out_channels)
        if name == "output":  # the order of the image's channels stays
            keep = keep.sort().values
        _copy(target, source, stay, keep)
        stay = keep


def _pair(block: ResidualBlock) -> list[nn.Module]:
    """Return the two convolutions of a residual block."""
    return [layer for layer in block.conv_block if isinstance(layer, nn.Conv2d | Separable)]


def _writer(layer: nn.Module) -> _Convolution:
    """Return the convolution that writes a layer's output channels."""
    found = layer.conv[2] if isinstance(layer, Separable) else layer
    assert isinstance(found, _Convolution)
    return found


def _strength(layer: nn.Module) -> Tensor:
    """Return the L1 norm of each output channel's filter."""
    writer = _writer(layer)
    axis = 1 if isinstance(writer, nn.ConvTranspose2d) else 0
    return writer.weight.abs().sum([side for side in range(4) if side != axis])


def _best(strength: Tensor, width: int) -> Tensor:
    """Return the indices of the `width` strongest channels, strongest first."""
    if width > len(strength):
        raise CheckpointError("pruning can only make a generator narrower", f"{width} channels of {len(strength)}")
    return torch.argsort(strength, descending=True, stable=True)[:width]


def _copy(target: nn.Module, source: nn.Module, inputs: Tensor | None, outputs: Tensor) -> None:
    """Copy the filters at `outputs`, restricted to the input channels `inputs` (None: all)."""
    if isinstance(target, Separable) and isinstance(source, Separable):
        for thin_weight, weight in zip(target.conv[0].parameters(), source.conv[0].parameters(), strict=True):
            thin_weight.copy_(weight if inputs is None else weight[inputs])
    thin, thick = _writer(target), _writer(source)
    rows, columns = (1, 0) if isinstance(thick, nn.ConvTranspose2d) else (0, 1)
    chosen = thick.weight.index_select(rows, outputs)
    thin.weight.copy_(chosen if inputs is None else chosen.index_select(columns, inputs))
    if thin.bias is not None and thick.bias is not None:
        thin.bias.copy_(thick.bias[outputs])
