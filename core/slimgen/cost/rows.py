"""One description, two readings: a network as rows, from which its module is built and its cost is summed. No torch.

A row is a layer with all that belongs to it: what is done before its weights (padding, an activation), the weights,
a norm, and what is done after. Rows have names, and whatever speaks of a part of a network names its row.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from slimgen.cost.formula import Cost
from slimgen.errors import BudgetError, SlimgenError

Kind = Literal["convolution", "depthwise", "transposed", "depthwise transposed", "linear", "norm", "product", "block"]
Norm = Literal["", "instance", "affine instance", "batch", "plain batch"]


class Row(NamedTuple):
    """One layer of a network. Channels are whole numbers; or arrays of one shape, for many networks at once.

    Attributes:
        name: a network has each once.
        kind: `convolution`, `depthwise` (one filter a channel), `transposed`, `depthwise transposed`, `linear` (on one
            vector); `norm` for a norm alone; `product` for the elementwise product of two feature maps; or `block`,
            whose layers are the rows `within`.
        inputs: channels that enter.
        outputs: channels that leave.
        kernel: side of the square kernel.
        part: what leaves lies at 1/part of the image's sides.
        stride: of a convolution; of a transposed one, how many times larger it makes its input.
        groups: of a convolution, dividing its channels.
        bias: whether each output channel has a bias.
        norm: what follows the weights: `instance` (not affine), `affine instance`, `batch` (affine), `plain batch`
            (not affine), or nothing.
        before: layers without weights that come before, by name, such as `reflect`; free.
        after: layers without weights that come last, such as `relu`; free.
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
    """The same convolution taken apart: a depthwise one, which keeps its stride, InstanceNorm, and a pointwise one."""
    kind: Kind = "depthwise transposed" if row.kind == "transposed" else "depthwise"
    spatial = Row("spatial", kind, row.inputs, row.inputs, row.kernel, row.part, row.stride, norm="instance")
    pointwise = Row("pointwise", "convolution", row.inputs, row.outputs, 1, row.part)
    return row._replace(kind="block", within=(spatial, pointwise))


def cost_of(rows: Iterable[Row], height: int, width: int) -> Cost:
    """What a network of these rows costs on one image, under every convention of `slimgen.cost.formula`.

    A convolution is counted at its output. A transposed one spreads each input pixel over kernel x kernel outputs, so
    the input size is what it computes (`exact`); the other conventions pretend that it gathers at every output pixel.
    A BatchNorm folds into the convolution before it; an InstanceNorm and a product of feature maps are operations in
    the convention of GAN Compression only. Blocks one after the other whose `within` is the very same tuple are
    summed once, so that arrays of millions are.

    Height and width are the image's, in pixels. The Cost is of arrays where the rows' channels are arrays.

    Raises:
        SlimgenError: groups do not divide channels.
    """
    params = exact = torchprofile = gan_compression = 0
    block: tuple[Row, ...] = ()
    inside = Cost()
    for _, kind, inputs, outputs, kernel, part, stride, groups, bias, norm, _, _, within in rows:
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
            weights, spread, macs, operations = inside
            exact, torchprofile, gan_compression = exact + spread, torchprofile + macs, gan_compression + operations
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
        else:  # a norm or a product
            weights = macs = spread = 0
            bias = False
            if kind == "product":
                gan_compression = gan_compression + outputs * pixels
        params = params + weights + outputs if bias else params + weights
        exact = exact + spread
        torchprofile = torchprofile + macs
        gan_compression = gan_compression + macs
        if norm:
            if norm in ("instance", "affine instance"):
                gan_compression = gan_compression + outputs * pixels
            if norm in ("batch", "affine instance"):
                params = params + 2 * outputs
    return Cost(params, exact, torchprofile, gan_compression)


def positions(rows: Iterable[Row]) -> dict[str, range]:
    """Row name to the positions of its layers where the rows are laid out one after the other, as in a Sequential."""
    found: dict[str, range] = {}
    start = 0
    for row in rows:
        end = start + len(row.before) + 1 + bool(row.norm) + len(row.after)
        found[row.name] = range(start, end)
        start = end
    return found


def weights_at(rows: Sequence[Row]) -> dict[str, int]:
    """Row name to the position of the one layer of it that has weights, or is a block."""
    places = positions(rows)
    return {row.name: places[row.name].start + len(row.before) for row in rows}


_FARTHEST = 1 << 40  # no search for a width goes on beyond


def largest(fits: Callable[[int], bool], least: int = 1, most: int = _FARTHEST) -> int:
    """The largest whole number from `least` to `most` that fits, by bisection; `least - 1` where none does.

    With any number that fits, all smaller ones do.
    """
    low, step = least - 1, 1
    while low + step <= most and fits(low + step):
        low, step = low + step, 2 * step
    high = min(low + step, most + 1)
    while high - low > 1:  # low fits and high does not, always
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_within(amount_at: Callable[[int], float], limit: float, least: int = 1) -> int:
    """The largest width, from the least, whose network stays within a limit, inclusive.

    The amount, such as MACs or parameters, is a function of the width that grows with it.

    Raises:
        BudgetError: even the least is above the limit; the message names its amount.
    """
    width = largest(lambda width: amount_at(width) <= limit, least)
    if width < least:
        rule = f"a network of width {least} must fit into {limit:,}"
        raise BudgetError(rule, f"{amount_at(least):,} at the least", "raise the budget, or make the images smaller")
    return width


def smallest_reaching(amount_at: Callable[[int], float], amount: float, least: int = 1) -> int:
    """The smallest width whose network has at least so much; arguments as of `largest_within`.

    Raises:
        BudgetError: no width does.
    """
    width = 1 + largest(lambda width: amount_at(width) < amount, least)
    if width > _FARTHEST:
        raise BudgetError(f"a width must reach {amount:,}", f"{amount_at(_FARTHEST):,} at a width of {_FARTHEST:,}")
    return width
