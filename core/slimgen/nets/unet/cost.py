"""What the U-Net generator costs, in closed form, whatever the channels of its scales. No torch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from slimgen.cost.formula import Cost, batch_norm, convolution, instance_norm, total, transposed
from slimgen.errors import RecipeError, SlimgenError, nearest

NORMS = ("batch", "instance")
KERNEL = 4


def check_size(height: int, width: int, depth: int) -> None:
    """Raises SlimgenError unless a U-Net of this depth can take images of this size."""
    if height < 1 or width < 1 or height % 2**depth or width % 2**depth:
        raise SlimgenError(
            f"a U-Net of depth {depth} needs sides that are multiples of {2**depth} pixels",
            f"{height} x {width}",
            "choose another size, or a smaller depth",
        )


def check_options(inputs: int, outputs: int, ngf: int, depth: int, norm: str, dropout: float) -> None:
    """Raises SlimgenError unless these options are in range."""
    if norm not in NORMS:
        raise SlimgenError("a U-Net needs a known norm", repr(norm), nearest(norm, NORMS))
    if min(inputs, outputs, ngf) < 1 or depth < 2 or not 0 <= dropout < 1:
        raise SlimgenError(
            "a U-Net needs channels of at least 1, a depth of at least 2 and dropout in [0, 1)",
            f"{inputs=}, {outputs=}, {ngf=}, {depth=}, {dropout=}",
        )


class UnetWidths(NamedTuple):
    """The channels of every scale of a U-Net.

    Attributes:
        down: of the encoder, at 1/2, 1/4 ... of the size.
        up: of the decoder, at 1/2, 1/4 ...; there is one less, since it ends with the images.
    """

    down: tuple[int, ...]
    up: tuple[int, ...]

    @classmethod
    def of(cls, ngf: int, depth: int, widths: object = None) -> "UnetWidths":
        """Doubling from `ngf` on, at most eight-fold; or those of a recipe's mapping of `down` and `up`.

        Raises:
            RecipeError: other keys, or not as many whole numbers of at least 1 as there are scales.
        """
        if widths is None:
            channels = tuple(ngf * min(2**level, 8) for level in range(depth))
            return cls(channels, channels[:-1])
        rule = f"widths of a U-Net give down ({depth} numbers) and up ({depth - 1}), each at least 1"
        if not isinstance(widths, Mapping) or set(widths) != set(cls._fields):
            raise RecipeError(rule, repr(widths)[:120])
        for name, length in (("down", depth), ("up", depth - 1)):
            numbers = widths[name]
            if not isinstance(numbers, Sequence) or len(numbers) != length:
                raise RecipeError(rule, f"{name} {numbers!r}")
            if not all(isinstance(number, int) and number >= 1 for number in numbers):
                raise RecipeError(rule, f"{name} {numbers!r}")
        return cls(tuple(widths["down"]), tuple(widths["up"]))

    def to_json(self) -> dict[str, list[int]]:
        """The inverse of `of`, with a mapping."""
        return {"down": list(self.down), "up": list(self.up)}


def unet_cost(
    height: int,
    width: int | None = None,
    *,
    inputs: int = 3,
    outputs: int = 3,
    ngf: int = 64,
    depth: int = 8,
    norm: str = "batch",
    dropout: float = 0.0,
    widths: object = None,
) -> Cost:
    """The cost of `UnetGenerator` in closed form; its arguments are the options of the network, after the image size.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        inputs: channels of the input.
        outputs: channels of the output.
        ngf: channels at half of the size.
        depth: halvings.
        norm: `batch` or `instance`.
        dropout: free.
        widths: of every scale, in place of `ngf`.

    Raises:
        SlimgenError: the sides are no multiples of 2**depth, or an option is out of range.
        RecipeError: the widths are malformed.
    """
    width = height if width is None else width
    check_options(inputs, outputs, ngf, depth, norm, dropout)
    check_size(height, width, depth)
    bias = norm == "instance"
    down, up = UnetWidths.of(ngf, depth, widths)

    def normed(channels: int, size: tuple[int, int]) -> Cost:
        return instance_norm(channels, *size) if norm == "instance" else batch_norm(channels)

    sizes = [(height >> level, width >> level) for level in range(depth + 1)]
    costs = [
        convolution(inputs, down[0], KERNEL, *sizes[1], bias=bias),
        transposed(down[0] + up[0], outputs, KERNEL, *sizes[1], *sizes[0]),
    ]
    for level, (outer, inner) in enumerate(pairwise(down), start=1):
        deepest = level == depth - 1
        around = inner if deepest else inner + up[level]
        costs.append(convolution(outer, inner, KERNEL, *sizes[level + 1], bias=bias))
        if not deepest:
            costs.append(normed(inner, sizes[level + 1]))
        costs.append(transposed(around, up[level - 1], KERNEL, *sizes[level + 1], *sizes[level], bias=bias))
        costs.append(normed(up[level - 1], sizes[level]))
    return total(costs)
