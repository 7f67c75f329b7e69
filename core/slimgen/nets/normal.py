"""Normal operations (Tian et al. 2020, section 4.2): AlphaGAN's cells and SN-GAN's discriminator choose among them."""

from collections.abc import Callable, Sequence

from torch import nn

from slimgen.cost.rows import Norm, Row
from slimgen.nets.layers import Make, layers_of, weights_of

NORMAL = ("conv_1x1", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_3x3", "conv_5x5")
"""In the order of their size."""
_FREE: dict[str, Make] = {"relu": lambda row: nn.ReLU(), "identity": lambda row: nn.Identity()}


def key_of(name: str) -> str:
    """The name of a choice's module: PyTorch allows no dots."""
    return name.replace(".", "_")


def normal_rows(
    operation: str, inputs: int, outputs: int, part: int = 1, norm: Norm = "batch", first: str = "relu"
) -> tuple[Row, ...]:
    """A ReLU and a convolution; or, twice, a ReLU, a depthwise and a 1x1 convolution and a norm.

    Args:
        operation: one of `NORMAL`.
        inputs: channels before.
        outputs: channels after.
        part: the features lie at 1/part of the image's sides.
        norm: of separable convolutions; they have biases where there is none.
        first: what a dense convolution begins with, `relu` or `identity`; an image would lose its half by a ReLU.
    """
    kernel = int(operation[-1])
    if operation.startswith("conv"):
        return (Row("conv", "convolution", inputs, outputs, kernel, part, before=(first,)),)
    deep = Row("deep", "depthwise", inputs, inputs, kernel, part, bias=False, before=("relu",))
    point = Row("point", "convolution", inputs, inputs, 1, part, bias=not norm, norm=norm)
    return deep, point, deep, point._replace(outputs=outputs)


class Normal(nn.Sequential):
    """A normal operation.

    Args:
        rows: as `normal_rows` gives them.
        wrap: done to each convolution, such as a spectral norm.
    """

    def __init__(self, rows: Sequence[Row], wrap: Callable[[nn.Module], nn.Module] = lambda conv: conv) -> None:
        super().__init__(*(layer for row in rows for layer in layers_of(row, _FREE, lambda row: wrap(weights_of(row)))))
