"""The ResNet generator of CycleGAN (Zhu et al. 2017), after Johnson et al. 2016: the original that is compressed."""

from functools import partial

from torch import Tensor, nn

from slimgen.errors import SlimgenError
from slimgen.nets.initial import initialise
from slimgen.nets.inplace import ReLU, may_overwrite
from slimgen.nets.norm import InstanceNorm2d
from slimgen.nets.output import OutputConvolution
from slimgen.nets.padding import ReflectionPad2d
from slimgen.nets.resnet.cost import check_size, resnet_cost, resnet_widths, thirds

__all__ = ["ResidualBlock", "ResnetGenerator", "initialise", "resnet_cost"]

TRUNK = 10
"""The place of the first residual block in `ResnetGenerator.model`."""


class ResidualBlock(nn.Module):
    """Reflect, conv3, IN, ReLU, (dropout,) reflect, conv3, IN, and the input added.

    Dropout shifts the index of the second convolution from `conv_block.5` to `conv_block.6`, as in the published
    pix2pix and CycleGAN checkpoints.

    Args:
        channels: of input and output.
        inner: channels between the convolutions.
        dropout: probability of dropping after the ReLU, 0 for no such layer.
    """

    def __init__(self, channels: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            ReflectionPad2d(1),
            self.convolution(channels, inner),
            InstanceNorm2d(inner),
            ReLU(),
        ]
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers += [ReflectionPad2d(1), self.convolution(inner, channels), InstanceNorm2d(channels)]
        self.conv_block = nn.Sequential(*layers)

    def convolution(self, inputs: int, outputs: int) -> nn.Module:
        """One of the two convolutions, 3x3 without padding."""
        return nn.Conv2d(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, H, W) to features of the same shape."""
        made: Tensor = self.conv_block(x)
        return made.add_(x) if may_overwrite(made) else x + made


class ResnetGenerator(nn.Module):
    """The ResNet generator: conv7, two halvings, residual blocks at 1/4 of the size, two doublings, conv7, tanh.

    InstanceNorm without affine parameters or running statistics; every convolution has a bias. The names in the
    state dict are those of the published pix2pix and CycleGAN checkpoints. With `ngf` 64 and 9 blocks it has
    11,378,179 parameters.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        ngf: width of the stem; the residual blocks are four times as wide.
        blocks: residual blocks.
        dropout: probability of dropping in the residual blocks, 0 for no dropout layer.
        config: a channel configuration (see `slimgen.nets.resnet.channels`) in place of `ngf` everywhere.
        widths: of every part, in place of both, as pruning leaves them; see `slimgen.nets.resnet.cost.Widths`.

    Raises:
        SlimgenError: an option is out of range.
        RecipeError: the configuration or the widths are malformed.
    """

    cost = staticmethod(resnet_cost)
    block: type[ResidualBlock] = ResidualBlock

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        ngf: int = 64,
        blocks: int = 9,
        dropout: float = 0.0,
        config: object = None,
        widths: object = None,
    ) -> None:
        super().__init__()
        if min(inputs, outputs, ngf) < 1 or blocks < 0 or not 0 <= dropout < 1:
            raise SlimgenError(
                "a ResNet generator needs channels of at least 1, blocks of at least 0 and dropout in [0, 1)",
                f"{inputs=}, {outputs=}, {ngf=}, {blocks=}, {dropout=}",
            )
        self.blocks = blocks
        stem, down, trunk, inside, up1, up2 = resnet_widths(ngf, blocks, config, widths)
        double = partial(nn.ConvTranspose2d, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.model = nn.Sequential(
            ReflectionPad2d(3),
            nn.Conv2d(inputs, stem, 7),
            InstanceNorm2d(stem),
            ReLU(),
            nn.Conv2d(stem, down, 3, stride=2, padding=1),
            InstanceNorm2d(down),
            ReLU(),
            nn.Conv2d(down, trunk, 3, stride=2, padding=1),
            InstanceNorm2d(trunk),
            ReLU(),
            *(self.block(trunk, inner, dropout) for inner in inside),
            double(trunk, up1),
            InstanceNorm2d(up1),
            ReLU(),
            double(up1, up2),
            InstanceNorm2d(up2),
            ReLU(),
            ReflectionPad2d(3),
            OutputConvolution(up2, outputs, 7),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]; H and W multiples of 4."""
        return self.features(x)[0]

    def features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The images, and what distillation compares: the trunk as it begins and after each third of the blocks.

        These are the four layers of GAN Compression, 6.1: with 9 blocks, after the halvings and blocks 3, 6 and 9.
        """
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            check_size(x.shape[-2], x.shape[-1])
        places, found = taps(self.blocks), []
        for place, layer in enumerate(self.model):
            x = layer(x)
            if place in places:
                found.append(x)
        return x, found


def taps(blocks: int) -> list[int]:
    """The places in `ResnetGenerator.model` whose outputs are distilled."""
    groups = thirds(blocks)
    ends = [block for block in range(blocks) if groups[block] not in groups[block + 1 :]]
    return [TRUNK - 1, *(TRUNK + block for block in ends)]
