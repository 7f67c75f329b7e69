"""The discriminator of unconditional generators: SN-GAN's for CIFAR-10 (Miyato et al. 2018), as AutoGAN has it.

One *optimised* block, which begins with a convolution and not with a ReLU, and three blocks; the first two halve the
size. AlphaGAN keeps it fixed; Table 3 searches its convolutions among the generator's normal operations instead.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from slimgen.cost.formula import Cost, convolution, depthwise, linear, total
from slimgen.errors import RecipeError
from slimgen.nets.alphagan.operations import Normal
from slimgen.nets.alphagan.space import NORMAL
from slimgen.nets.initial import GLOROT
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space

BLOCKS = 4
_HALVING = (1, 2)
_RAISING = tuple(operation for operation in NORMAL if operation.startswith("conv"))
"""What can raise three channels to many: a separable convolution could only mix the three."""

Run = Callable[[str, Tensor], Tensor]


def discriminator_space() -> Space:
    """3 x 6^7 discriminators: two normal operations in each block."""
    return Space({name: Choice(_RAISING if raising else NORMAL) for name, raising in operations()})


def operations() -> Iterator[tuple[str, bool]]:
    """Every searchable operation: its name, and whether it raises the image's channels to the features'."""
    for block in range(1, BLOCKS + 1):
        yield f"block{block}.op1", block == 1
        yield f"block{block}.op2", False


SPACE = discriminator_space()
SN_GAN = Genotype(dict.fromkeys(SPACE, "conv_3x3"))
"""The discriminator by hand: every convolution is 3x3."""


def judge(images: Tensor, run: Run, shortcuts: nn.ModuleDict, score: nn.Module) -> Tensor:
    """The blocks and the score, whichever operations the blocks run.

    Args:
        images: (N, inputs, H, W).
        run: an operation's name and its input to its output.
        shortcuts: 1x1 convolutions of the blocks that halve the size.
        score: a linear layer on the sum over all pixels.

    Returns:
        (N, 1).
    """
    features = images
    for block in range(1, BLOCKS + 1):
        out = run(f"block{block}.op2", run(f"block{block}.op1", features))
        name = f"block{block}"
        if block == 1:
            # Its 1x1 convolution and the mean may change places: so it costs a quarter.
            features = functional.avg_pool2d(out, 2) + shortcuts[name](functional.avg_pool2d(features, 2))
        elif name in shortcuts:
            features = functional.avg_pool2d(out + shortcuts[name](features), 2)
        else:
            features = out + features
    scores: Tensor = score(torch.relu(features).sum((2, 3)))
    return scores


def build_operation(name: str, operation: str, inputs: int, channels: int) -> nn.Module:
    """The module of one operation: spectral norms in place of batch norms."""
    rectified = name != "block1.op1"
    return Normal(operation, inputs, channels, normed=False, wrap=spectral_norm, rectified=rectified)


def build_ends(inputs: int, channels: int) -> tuple[nn.ModuleDict, nn.Module]:
    """Shortcuts and score, which are not searched.

    Raises:
        RecipeError: a number of channels below 1.
    """
    if min(inputs, channels) < 1:
        raise RecipeError("a discriminator has inputs and channels of at least 1", f"{inputs=}, {channels=}")
    shortcuts = nn.ModuleDict(
        {
            f"block{block}": spectral_norm(nn.Conv2d(inputs if block == 1 else channels, channels, 1))
            for block in _HALVING
        }
    )
    return shortcuts, spectral_norm(nn.Linear(channels, 1, bias=False))


def check_judged(height: int, width: int) -> None:
    """Raises RecipeError where images vanish in being halved twice."""
    if min(height, width) < 4:
        raise RecipeError("a discriminator that halves images twice needs at least 4 pixels a side", (height, width))


def noise_discriminator_cost(
    height: int, width: int, *, genotype: Mapping[str, Value] | None = None, inputs: int = 3, channels: int = 128
) -> Cost:
    """The cost of `NoiseDiscriminator` in closed form; spectral norms are free, as they fold into the weights.

    Args:
        height: image height in pixels.
        width: image width in pixels.
        genotype: None is SN-GAN's.
        inputs: channels of the images.
        channels: of all features.

    Raises:
        SlimgenError: the images are too small, or a genotype of another space.
    """
    check_judged(height, width)
    chosen = Genotype(genotype) if genotype is not None else SN_GAN
    SPACE.check(chosen)
    costs, before, rows, columns = [linear(channels, 1, bias=False)], inputs, height, width
    for block in range(1, BLOCKS + 1):
        for name in (f"block{block}.op1", f"block{block}.op2"):
            costs.append(_operation_cost(str(chosen[name]), before, channels, rows, columns))
            before = channels
        if block in _HALVING:
            if block == 1:
                costs.append(convolution(inputs, channels, 1, rows // 2, columns // 2))
            else:
                costs.append(convolution(channels, channels, 1, rows, columns))
            rows, columns = rows // 2, columns // 2
    return total(costs)


def _operation_cost(operation: str, inputs: int, channels: int, rows: int, columns: int) -> Cost:
    kernel = int(operation[-1])
    if operation.startswith("conv"):
        return convolution(inputs, channels, kernel, rows, columns)
    deep = depthwise(channels, kernel, rows, columns, bias=False)
    return deep.plus(convolution(channels, channels, 1, rows, columns)).times(2)


class NoiseDiscriminator(nn.Module):
    """Images to scores: higher is more real. Spectral norms throughout.

    Args:
        genotype: an operation for every name of `SPACE`; None is SN-GAN's, convolutions 3x3.
        inputs: channels of the images.
        channels: of all features.

    Raises:
        SlimgenError: an option is out of range.
    """

    cost: Callable[..., Cost] = staticmethod(noise_discriminator_cost)
    initial = GLOROT

    def __init__(self, genotype: Mapping[str, Value] | None = None, inputs: int = 3, channels: int = 128) -> None:
        super().__init__()
        self.genotype = Genotype(genotype) if genotype is not None else SN_GAN
        SPACE.check(self.genotype)
        self.shortcuts, self.score = build_ends(inputs, channels)
        self.operations = nn.ModuleDict(
            {
                key_of(name): build_operation(name, str(self.genotype[name]), inputs if raising else channels, channels)
                for name, raising in operations()
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, H, W), at least 4 pixels a side, to scores (N, 1)."""

        def run(name: str, features: Tensor) -> Tensor:
            out: Tensor = self.operations[key_of(name)](features)
            return out

        return judge(images, run, self.shortcuts, self.score)


def key_of(name: str) -> str:
    """The name of an operation's module: PyTorch allows no dots."""
    return name.replace(".", "_")
