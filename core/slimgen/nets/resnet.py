"""The ResNet generator of CycleGAN (Zhu et al. 2017), after Johnson et al. 2016: the original that is compressed."""

from functools import partial

from torch import Tensor, nn

from slimgen.cost.formula import Cost, convolution, instance_norm, total, transposed, widest
from slimgen.errors import SlimgenError
from slimgen.nets.initial import initialise

__all__ = ["ResidualBlock", "ResnetGenerator", "initialise", "narrowed_ngf", "resnet_cost"]

_STRIDE = 4  # two halvings on the way down


def _check_size(height: int, width: int) -> None:
    if height % _STRIDE or width % _STRIDE or min(height, width) < 2 * _STRIDE:
        raise SlimgenError(
            f"the ResNet generator needs sides that are multiples of {_STRIDE}, {2 * _STRIDE} pixels at the least",
            f"{height} x {width}",
            "choose another size in the recipe",
        )


def resnet_cost(
    height: int,
    width: int | None = None,
    *,
    ngf: int = 64,
    blocks: int = 9,
    inputs: int = 3,
    outputs: int = 3,
    dropout: float = 0.0,
) -> Cost:
    """The cost of `ResnetGenerator` in closed form.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        ngf: width of the stem.
        blocks: residual blocks.
        inputs: channels of the input.
        outputs: channels of the output.
        dropout: free; taken so that the options of the network are the options of its cost.

    Raises:
        SlimgenError: the network cannot take images of this size.
    """
    width = height if width is None else width
    _check_size(height, width)
    half, quarter = (height // 2, width // 2), (height // 4, width // 4)
    residual = convolution(4 * ngf, 4 * ngf, 3, *quarter).plus(instance_norm(4 * ngf, *quarter))
    return total(
        (
            convolution(inputs, ngf, 7, height, width),
            instance_norm(ngf, height, width),
            convolution(ngf, 2 * ngf, 3, *half),
            instance_norm(2 * ngf, *half),
            convolution(2 * ngf, 4 * ngf, 3, *quarter),
            instance_norm(4 * ngf, *quarter),
            residual.times(2 * blocks),
            transposed(4 * ngf, 2 * ngf, 3, *quarter, *half),
            instance_norm(2 * ngf, *half),
            transposed(2 * ngf, ngf, 3, *half, height, width),
            instance_norm(ngf, height, width),
            convolution(ngf, outputs, 7, height, width),
        )
    )


def narrowed_ngf(
    limit_macs: int,
    convention: str,
    height: int,
    width: int | None = None,
    *,
    blocks: int = 9,
    inputs: int = 3,
    outputs: int = 3,
) -> int:
    """The largest `ngf` whose ResNet generator stays within a MAC limit: the uniformly narrowed rival of a search.

    Raises:
        BudgetError: even `ngf` 1 is above the limit.
        SlimgenError: the network cannot take images of this size, or the convention is not known.
    """

    def cost_of(ngf: int) -> Cost:
        return resnet_cost(height, width, ngf=ngf, blocks=blocks, inputs=inputs, outputs=outputs)

    return widest(cost_of, limit_macs, convention)


class ResidualBlock(nn.Module):
    """Reflect, conv3, IN, ReLU, (dropout,) reflect, conv3, IN, and the input added.

    Dropout shifts the index of the second convolution from `conv_block.5` to `conv_block.6`, as in the published
    pix2pix and CycleGAN checkpoints.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
        ]
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, H, W) to features of the same shape."""
        out: Tensor = x + self.conv_block(x)
        return out


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

    Raises:
        SlimgenError: an option is out of range.
    """

    cost = staticmethod(resnet_cost)

    def __init__(self, inputs: int = 3, outputs: int = 3, ngf: int = 64, blocks: int = 9, dropout: float = 0.0) -> None:
        super().__init__()
        if min(inputs, outputs, ngf) < 1 or blocks < 0 or not 0 <= dropout < 1:
            raise SlimgenError(
                "a ResNet generator needs channels of at least 1, blocks of at least 0 and dropout in [0, 1)",
                f"{inputs=}, {outputs=}, {ngf=}, {blocks=}, {dropout=}",
            )
        double = partial(nn.ConvTranspose2d, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(inputs, ngf, 7),
            nn.InstanceNorm2d(ngf),
            nn.ReLU(),
            nn.Conv2d(ngf, 2 * ngf, 3, stride=2, padding=1),
            nn.InstanceNorm2d(2 * ngf),
            nn.ReLU(),
            nn.Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1),
            nn.InstanceNorm2d(4 * ngf),
            nn.ReLU(),
            *(ResidualBlock(4 * ngf, dropout) for _ in range(blocks)),
            double(4 * ngf, 2 * ngf),
            nn.InstanceNorm2d(2 * ngf),
            nn.ReLU(),
            double(2 * ngf, ngf),
            nn.InstanceNorm2d(ngf),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(ngf, outputs, 7),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]; H and W multiples of 4."""
        if isinstance(x.shape[-1], int):  # while a graph is exported, sizes are symbols
            _check_size(x.shape[-2], x.shape[-1])
        out: Tensor = self.model(x)
        return out
