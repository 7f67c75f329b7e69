"""The once-for-all network of GAN Compression (section 3.3): every channel configuration in one set of weights."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgen.cost.formula import Cost
from slimgen.nets.gates import Arch, pinned
from slimgen.nets.initial import initialise
from slimgen.nets.output import OutputConvolution, few_channels
from slimgen.nets.resnet.channels import NAMES, Config, channel_space, to_config
from slimgen.nets.resnet.cost import configured_cost, dense, separable, thirds
from slimgen.nets.resnet.generator import ResidualBlock, ResnetGenerator, taps
from slimgen.nets.resnet.mobile import MobileResnetGenerator, SeparableConvolution
from slimgen.nets.supernet import Piece, Supernet
from slimgen.search.genotype import Genotype

FAMILIES: dict[str, type[ResnetGenerator]] = {"mobile_resnet": MobileResnetGenerator, "resnet": ResnetGenerator}
"""What a once-for-all network can be made of: separable residual blocks, or dense ones (the paper's Table 4)."""


class OnceForAll(Supernet):
    """A ResNet generator whose sub-networks take the first channels of each weight.

    Its weights are those of the generator at the largest configuration, under the same names.

    Args:
        family: a name of `FAMILIES`.
        space: the name of a space of channels, or the options of c0 .. c7.
        blocks: residual blocks.
        inputs: channels of the input.
        outputs: channels of the output.
        dropout: as in the generator; drops while training alone.

    Raises:
        RecipeError: an unknown or malformed space.
    """

    def __init__(
        self,
        family: str = "mobile_resnet",
        space: str | Sequence[Sequence[int]] = "channels-48",
        blocks: int = 9,
        inputs: int = 3,
        outputs: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.family = family
        self.space = channel_space(space)
        self.options: dict[str, Any] = {"blocks": blocks, "inputs": inputs, "outputs": outputs, "dropout": dropout}
        widest = FAMILIES[family](config=to_config(self.space.largest()), **self.options)
        self.blocks, self.model = blocks, widest.model

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) of one configuration."""
        return self.features(images, arch)[0]

    def features(self, images: Tensor, arch: Arch) -> tuple[Tensor, list[Tensor]]:
        """The images, and the features that distillation compares; see `ResnetGenerator.features`."""
        widths = _widths(to_config(pinned(arch)), self.blocks, self.options["outputs"])
        places, found, out = taps(self.blocks), [], images
        for place, layer in enumerate(self.model):
            if isinstance(layer, ResidualBlock):
                out = out + _block(layer, out, widths[place])
            else:
                out = _sliced(layer, out, widths.get(place, 0))
            if place in places:
                found.append(out)
        return out, found

    def extract(self, genotype: Genotype) -> ResnetGenerator:
        """The sub-network alone, with copies of its channels."""
        with torch.device("meta"):
            net = FAMILIES[self.family](config=to_config(genotype), **self.options)
        net.to_empty(device=next(self.parameters()).device)
        own = self.state_dict()
        with torch.no_grad():
            for name, weight in net.state_dict().items():
                weight.copy_(own[name][tuple(slice(side) for side in weight.shape)])
        return net

    def cost(self, genotype: Genotype, height: int, width: int) -> Cost:
        """What the sub-network costs on one image, in closed form."""
        return self.costs({name: genotype[name] for name in NAMES}, height, width)

    def costs(self, columns: Mapping[str, Any], height: int, width: int) -> Cost:
        """The costs of many configurations at once.

        Args:
            columns: for each dimension a number, or an integer array; all of one shape.
            height: image height in pixels.
            width: image width in pixels.

        Returns:
            A Cost whose numbers are of that shape.
        """
        block = separable if self.family == "mobile_resnet" else dense
        shape = {name: self.options[name] for name in ("blocks", "inputs", "outputs")}
        return configured_cost(block, [columns[name] for name in NAMES], height, width, **shape)

    def pieces(self, genotype: Genotype, height: int, width: int) -> list[Piece]:
        """The sub-network cut between its layers, in order; equal residual blocks are equal pieces."""
        config = to_config(genotype)
        inputs, outputs, up1 = self.options["inputs"], self.options["outputs"], 10 + self.blocks
        widths = _widths(config, self.blocks, outputs)
        channels, found = inputs, []
        for kind, start, end, scale in (
            *(("stem", 0, 4, 1), ("halving", 4, 7, 1), ("halving", 7, 10, 2)),
            *(("block", place, place + 1, 4) for place in range(10, up1)),
            *(("doubling", up1, up1 + 3, 4), ("doubling", up1 + 3, up1 + 6, 2), ("output", up1 + 6, up1 + 9, 1)),
        ):
            shape = (1, channels, height // scale, width // scale)
            wide = next(widths[place] for place in range(start, end) if place in widths)
            build = partial(self._piece, config, start, end)
            found.append(Piece(f"{self.family} {kind} {wide} of {'x'.join(map(str, shape))}", build, shape))
            channels = channels if kind == "block" else wide
        return found

    def _piece(self, config: Config, start: int, end: int) -> nn.Sequential:
        with torch.device("meta"):
            net = FAMILIES[self.family](config=config, **self.options)
        piece = net.model[start:end].to_empty(device="cpu")
        assert isinstance(piece, nn.Sequential)
        return initialise(piece, 0).eval()


def _widths(config: Config, blocks: int, outputs: int) -> dict[int, int]:
    """The output channels of each convolution of `ResnetGenerator.model`; of a block, its inner channels."""
    ends = {1: config[0], 4: 2 * config[1], 7: 4 * config[2]}
    inner = {10 + block: 4 * config[3 + third] for block, third in enumerate(thirds(blocks))}
    return ends | inner | {10 + blocks: 2 * config[6], 13 + blocks: config[7], 17 + blocks: outputs}


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


def _block(block: ResidualBlock, images: Tensor, inner: int) -> Tensor:
    """A residual block without its skip."""
    trunk, out = images.shape[1], images
    widths = iter((inner, trunk))
    for layer in block.conv_block:
        if isinstance(layer, SeparableConvolution):
            spatial, norm, pointwise = layer.conv
            out = _sliced(pointwise, norm(_sliced(spatial, out, out.shape[1])), next(widths))
        else:
            out = _sliced(layer, out, next(widths) if isinstance(layer, nn.Conv2d) else 0)
    return out
