"""The once-for-all network of GAN Compression (section 3.3): every channel configuration in one set of weights."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.rows import Row, positions
from slimgen.nets.configurations import Config
from slimgen.nets.functional import OutputConvolution, few_channels
from slimgen.nets.gan_compression.pruning import prune_into
from slimgen.nets.gan_compression.supernet import ChannelSupernet
from slimgen.nets.initial import initialise
from slimgen.nets.layers import Separable
from slimgen.nets.resnet.description import CHANNELS, Widths
from slimgen.nets.resnet.generator import MobileResnetGenerator, ResidualBlock, ResnetGenerator
from slimgen.nets.supernet import Arch, Piece, pinned
from slimgen.search.genotype import Genotype


class OnceForAll(ChannelSupernet):
    """A ResNet generator, its residual blocks separable or dense (the paper's Table 4); see `ChannelSupernet`.

    Args:
        family: `mobile_resnet` or `resnet`.
        space: the name of a space of channels, or the options of c0 .. c7.
        options: `blocks`, `inputs`, `outputs` and `dropout` of the generator; it drops while training alone.
    """

    title = "ResNet"
    generators: ClassVar = {"mobile_resnet": MobileResnetGenerator, "resnet": ResnetGenerator}
    mobile = "mobile_resnet"
    channels = CHANNELS
    shape = ("blocks", "inputs", "outputs")
    pruned = True
    chain = True

    def __init__(
        self,
        family: str = "mobile_resnet",
        space: str | Sequence[Sequence[int]] = "channels-48",
        **options: Any,
    ) -> None:
        super().__init__(family, space, **options)
        whole = self.generator(self.channels.config(self.space.largest()))
        assert isinstance(whole, ResnetGenerator)
        self.model = whole.model
        self._positions = positions(whole.options.rows())

    def _rows(self, config: Config) -> list[Row]:
        """The rows of a sub-network; their layers lie where those of the whole do."""
        rows: list[Row] = self.description.rows(Widths.of(config, self.description.blocks))
        return rows

    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """The images, and the features that distillation compares; see `ResnetOptions.taps`."""
        taps, features, out = self.description.taps, [], images
        for row in self._rows(self.channels.config(pinned(arch))):
            for index in self._positions[row.name]:
                layer = self.model[index]
                out = out + _block(layer, out, row) if row.within else _sliced(layer, out, row.outputs)
            if row.name in taps:
                features.append(out)
        return out, features

    def prune_from(self, wide: nn.Module) -> None:
        """Begins with the strongest channels of a wider generator; see `prune_into`."""
        assert isinstance(wide, ResnetGenerator)
        prune_into(self.model, wide)

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """The sub-network cut between its rows, in order; equal residual blocks are equal pieces."""
        config, part, pieces = self.channels.config(genotype), 1, []
        for row in self._rows(config):
            shape = (1, row.inputs, height // part, width // part)
            wide = row.within[0].outputs if row.within else row.outputs
            key = f"{self.family} {_noun(row)} {wide} of {'x'.join(map(str, shape))}"
            pieces.append(Piece(key, partial(self._piece, config, self._positions[row.name]), shape))
            part = row.part
        return pieces

    def _piece(self, config: Config, place: range) -> nn.Sequential:
        with torch.device("meta"):
            net = self.generator(config)
        piece = net.model[place.start : place.stop].to_empty(device="cpu")  # type: ignore[index,union-attr]
        assert isinstance(piece, nn.Sequential)
        return initialise(piece, 0).eval()


def _noun(row: Row) -> str:
    """What a row is called in the key of its piece."""
    if row.kind == "transposed":
        return "doubling"
    return "halving" if row.stride > 1 else "block" if row.within else row.name


def _sliced(layer: nn.Module, images: Tensor, width: int) -> Tensor:
    """A layer on the first channels: as many inputs as there are, and `width` outputs."""
    channels = images.shape[1]
    if isinstance(layer, nn.ConvTranspose2d):
        bias = None if layer.bias is None else layer.bias[:width]
        weight, steps = layer.weight[:channels, :width], (layer.stride, layer.padding, layer.output_padding)
        return functional.conv_transpose2d(images, weight, bias, *steps)  # type: ignore[arg-type]
    if isinstance(layer, nn.Conv2d):
        bias = None if layer.bias is None else layer.bias[:width]
        if isinstance(layer, OutputConvolution):
            return few_channels(images, layer.weight[:, :channels], bias)
        if layer.groups > 1:
            return functional.conv2d(images, layer.weight[:width], bias, groups=channels)
        return functional.conv2d(images, layer.weight[:width, :channels], bias, layer.stride, layer.padding)
    out: Tensor = layer(images)
    return out


def _block(block: nn.Module, images: Tensor, row: Row) -> Tensor:
    """A residual block without its skip, its convolutions as wide as those within a row."""
    assert isinstance(block, ResidualBlock)
    widths, out = iter(convolution.outputs for convolution in row.within), images
    for layer in block.conv_block:
        if isinstance(layer, Separable):
            spatial, norm, pointwise = layer.conv
            out = _sliced(pointwise, norm(_sliced(spatial, out, out.shape[1])), next(widths))
        else:
            out = _sliced(layer, out, next(widths) if isinstance(layer, nn.Conv2d) else 0)
    return out
