"""Rows: one description of a network from which its module is built and its cost is summed. Imports no torch.

A row is a layer with its padding and activation, its weights and its norm. Rows have names, and code that refers to a
part of a network names its row.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from slimgen.cost.formula import Cost
from slimgen.errors import BudgetError, SlimgenError

Kind = Literal[
    "convolution", "depthwise", "transposed", "depthwise transposed", "linear", "norm", "prelu", "product", "block"
]
Norm = Literal["", "instance", "affine instance", "batch", "plain batch", "scale"]


class Row(NamedTuple):
    """One layer of a network. Channels are whole numbers, or arrays of one shape for many networks at once.

    Attributes:
        name: unique within the network.
        kind: `convolution`, `depthwise` (one filter a channel), `transposed`, `depthwise transposed`, `linear` (on one
            vector); `norm` for a norm alone; `prelu` for a PReLU with a slope for each channel; `product` for the
            elementwise product of two feature maps; or `block`, whose layers are the rows `within`.
        inputs: input channels.
        outputs: output channels.
        kernel: side of the square kernel.
        part: the output has 1/part of the image's height and width.
        stride: of a convolution; of a transposed one, its upscaling factor.
        groups: of a convolution; must divide its channels.
        bias: whether each output channel has a bias.
        norm: the norm after the weights: `instance` (not affine), `affine instance`, `batch` (affine), `plain batch`
            (not affine), `scale` (a learned factor for each channel, folded into the weights of a generator that stands
            alone), or none.
        before: layers without weights before it, by name, such as `reflect`; they cost nothing, except that `thop`
            counts a `leaky`.
        after: layers without weights after it, such as `relu`; likewise.
        within: the layers of a block.
    """

    name: str
    kind: Kind
    inputs: Any
    outputs: Any
    kernel: int = 3
    part: int = 1
    stride: int = 1
    groups: int = 1
    bias: bool = True
    norm: Norm = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    within: tuple["Row", ...] = ()


def separable(row: Row) -> Row:
    """Return a convolution as a separable one: depthwise with the same stride, InstanceNorm, and pointwise."""
    kind: Kind = "depthwise transposed" if row.kind == "transposed" else "depthwise"
    spatial = Row("spatial", kind, row.inputs, row.inputs, row.kernel, row.part, row.stride, norm="instance")
    pointwise = Row("pointwise", "convolution", row.inputs, row.outputs, 1, row.part)
    return row._replace(kind="block", within=(spatial, pointwise))


def cost_of(rows: Iterable[Row], height: int, width: int) -> Cost:
    """Return the cost of a network of these rows on one image, under every convention of `slimgen.cost.formula`.

    A convolution is counted at its output size. A transposed one spreads each input pixel over kernel x kernel outputs,
    so `exact` counts it at its input size; the other conventions count it as if it gathered at every output pixel. A
    BatchNorm costs nothing, since it folds into the convolution before it; an InstanceNorm and a product of feature
    maps count only in GAN Compression's convention, a BatchNorm, a bias and a LeakyReLU only in `thop`'s. Consecutive
    blocks whose `within` is the same tuple object are summed once, which matters for arrays of millions.

    Height and width are the image's, in pixels. If the rows' channels are arrays, so are the fields of the cost.

    Raises:
        SlimgenError: groups do not divide channels.
    """
    params = exact = torchprofile = gan_compression = thop = 0
    block: tuple[Row, ...] = ()
    inside = Cost()
    for _, kind, inputs, outputs, kernel, part, stride, groups, bias, norm, before, after, within in rows:
        pixels = (height // part) * (width // part)
        if kind == "convolution":
            weights = inputs * outputs * (kernel * kernel)
            if groups != 1:
                if inputs % groups or outputs % groups:
                    got = f"{inputs}, {outputs} / {groups}"
                    raise SlimgenError("the groups of a convolution must divide its channels", got)
                weights //= groups
            macs = spread = weights * pixels
        elif kind == "block":
            if within is not block:
                block, inside = within, cost_of(within, height, width)
            weights, spread, macs, operations, counted = inside
            exact, torchprofile, gan_compression = exact + spread, torchprofile + macs, gan_compression + operations
            thop = thop + counted
            macs = spread = 0
            bias = False
        elif kind == "transposed":
            weights = inputs * outputs * (kernel * kernel)
            macs = weights * pixels
            spread = weights * ((height // part // stride) * (width // part // stride))
        elif kind == "depthwise":
            weights = outputs * (kernel * kernel)
            macs = spread = weights * pixels
        elif kind == "depthwise transposed":
            weights = outputs * (kernel * kernel)
            macs = weights * pixels
            spread = weights * ((height // part // stride) * (width // part // stride))
        elif kind == "linear":
            weights = macs = spread = inputs * outputs
            pixels = 1
        else:  # a norm, a PReLU or a product
            weights = outputs if kind == "prelu" else 0
            macs = spread = 0
            bias = False
            if kind == "product":
                gan_compression = gan_compression + outputs * pixels
        params = params + weights
        if bias:
            params = params + outputs
            if kind != "linear":
                thop = thop + outputs * pixels
        exact = exact + spread
        torchprofile = torchprofile + macs
        gan_compression = gan_compression + macs
        thop = thop + macs
        if "leaky" in after:
            thop = thop + outputs * pixels
        if "leaky" in before:
            sides = (height // part * stride, width // part * stride)
            thop = thop + inputs * (sides[0] * sides[1])
        if norm:
            if norm in ("instance", "affine instance"):
                gan_compression = gan_compression + outputs * pixels
            if norm in ("batch", "affine instance"):
                params = params + 2 * outputs
            if norm in ("batch", "plain batch"):
                thop = thop + 2 * outputs * pixels
    return Cost(params, exact, torchprofile, gan_compression, thop)


def positions(rows: Iterable[Row]) -> dict[str, range]:
    """Return row name to the positions of its layers, where the rows follow each other as in a Sequential."""
    found: dict[str, range] = {}
    start = 0
    for row in rows:
        end = start + len(row.before) + 1 + bool(row.norm) + len(row.after)
        found[row.name] = range(start, end)
        start = end
    return found


def weights_at(rows: Sequence[Row]) -> dict[str, int]:
    """Return row name to the position of its one layer that has weights or is a block."""
    places = positions(rows)
    return {row.name: places[row.name].start + len(row.before) for row in rows}


_FARTHEST = 1 << 40  # the largest width that a search tries


def largest(fits: Callable[[int], bool], least: int = 1, most: int = _FARTHEST) -> int:
    """Return the largest whole number from `least` to `most` that fits, by bisection; `least - 1` if none does.

    This assumes that with any number that fits, all smaller ones fit too.
    """
    low, step = least - 1, 1
    while low + step <= most and fits(low + step):
        low, step = low + step, 2 * step
    high = min(low + step, most + 1)
    while high - low > 1:  # invariant: low fits and high does not
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_within(amount_at: Callable[[int], float], limit: float, least: int = 1) -> int:
    """Return the largest width, at least `least`, whose amount is at most the limit.

    `amount_at` returns an amount that grows with the width, such as MACs or parameters.

    Raises:
        BudgetError: even the least width exceeds the limit; the message names its amount.
    """
    width = largest(lambda width: amount_at(width) <= limit, least)
    if width < least:
        rule = f"a network of width {least} must fit into {limit:,}"
        raise BudgetError(rule, f"{amount_at(least):,}", "raise the budget, or make the images smaller")
    return width


def smallest_reaching(amount_at: Callable[[int], float], amount: float, least: int = 1) -> int:
    """Return the smallest width whose amount reaches at least `amount`; the other arguments as for `largest_within`.

    Raises:
        BudgetError: no width reaches it.
    """
    width = 1 + largest(lambda width: amount_at(width) < amount, least)
    if width > _FARTHEST:
        raise BudgetError(f"no width reaches {amount:,}", f"{amount_at(_FARTHEST):,} at a width of {_FARTHEST:,}")
    return width
