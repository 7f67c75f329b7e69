"""GauGAN's generator as numbers: its blocks at a channel configuration, and what they cost in closed form. No torch.

A configuration is c0 .. c7, as the authors of GAN Compression write it: the first convolution has 16 c0 channels, which
are the trunk of the three blocks after it; their inner widths are 16 c1, 16 c2 and 16 c3; the four upper blocks leave
8 c4, 4 c5, 2 c6 and c7. The SPADE layers of a block see the labels through twice its c.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from slimgen.cost.formula import Cost, convolution, instance_norm, product, total
from slimgen.errors import RecipeError, SlimgenError, nearest
from slimgen.nets.resnet.cost import dense, separable

NORMS = ("batch", "instance")
"""The norms without parameters that a SPADE layer can modulate."""
DOUBLINGS = (5, 6)
"""How often the size doubles from the first convolution to the image: the authors' "normal" and "more"."""
Config = tuple[int, ...]
"""c0 .. c7."""
_MULTIPLES = {"head_0": 16, "G_middle_0": 16, "G_middle_1": 16, "up_0": 8, "up_1": 4, "up_2": 2, "up_3": 1}


class Block(NamedTuple):
    """One residual block.

    Attributes:
        name: as in published checkpoints.
        inputs: channels that enter.
        inner: channels between its two convolutions.
        outputs: channels that leave.
        hidden: channels of its SPADE layers' view of the labels.
        learned: whether the shortcut is a convolution.
        part: the block works at 1/part of the image's sides.
    """

    name: str
    inputs: Any
    inner: Any
    outputs: Any
    hidden: Any
    learned: bool
    part: int


def parse_config(value: object) -> Config:
    """A configuration from `32_40_40_32_40_24_32_24`, or from a list of numbers.

    Raises:
        RecipeError: not eight positive whole numbers.
    """
    words = value.split("_") if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    try:
        numbers = tuple(int(str(word)) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) != 1 + len(_MULTIPLES) or min(numbers) < 1:
        rule = "a SPADE configuration is eight positive numbers such as 32_40_40_32_40_24_32_24"
        raise RecipeError(rule, repr(value))
    return numbers


def layout(config: Sequence[Any], doublings: int = 6) -> list[Block]:
    """The residual blocks from the smallest size to the largest.

    The first three have no learned shortcut, so what leaves them is as wide as the first convolution; only between
    their convolutions are they as wide as their own c says. Which shortcuts are learned does not depend on the widths.

    Args:
        config: c0 .. c7, as numbers or as arrays.
        doublings: 6, or 5 for no doubling between the two middle blocks.
    """
    blocks: list[Block] = []
    channels = 16 * config[0]
    parts = (64, 32, 16, 8, 4, 2, 1) if doublings == 6 else (32, 16, 16, 8, 4, 2, 1)
    for (name, multiple), own, part in zip(_MULTIPLES.items(), config[1:], parts, strict=True):
        inner, learned = multiple * own, multiple < 16
        leaving = inner if learned else channels
        blocks.append(Block(name, channels, inner, leaving, 2 * own, learned, part))
        channels = leaving
    return blocks


def check_options(inputs: int, outputs: int, norm: str, doublings: int) -> None:
    """Raises SlimgenError where an option of the generator is out of range."""
    if norm not in NORMS:
        raise SlimgenError("a SPADE generator needs a known norm", repr(norm), nearest(norm, NORMS))
    if doublings not in DOUBLINGS:
        raise SlimgenError("a SPADE generator doubles the size 5 or 6 times", repr(doublings))
    if min(inputs, outputs) < 1:
        raise SlimgenError("a SPADE generator needs at least 1 channel", f"{inputs=}, {outputs=}")


def check_size(height: int, width: int, doublings: int, single: bool) -> None:
    """Raises SlimgenError unless the generator can draw images of this size.

    Args:
        height: image height in pixels.
        width: image width in pixels.
        doublings: 5 or 6.
        single: whether something in it normalises single images, which a single pixel does not suit.
    """
    side = 2**doublings
    fits = min(height, width) >= side and not height % side and not width % side
    if fits and not (single and height == width == side):
        return
    least = f", and with InstanceNorm more than {side} x {side} pixels" if single else ""
    raise SlimgenError(
        f"a SPADE generator of {doublings} doublings needs sides that are multiples of {side}{least}",
        f"{height} x {width}",
        "use doublings: 5" if doublings == 6 else "use larger images",
    )


def spade_cost(
    height: int,
    width: int | None = None,
    *,
    inputs: int = 36,
    outputs: int = 3,
    ngf: int = 64,
    config: object = None,
    norm: str = "batch",
    doublings: int = 6,
    spectral: bool = False,
) -> Cost:
    """The cost of `SpadeGenerator` in closed form; `spectral` is free, as it folds into the weights.

    Args:
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        inputs: channels of the label maps.
        outputs: channels of the images.
        ngf: c0 .. c7, all equal.
        config: a channel configuration in place of `ngf`.
        norm: `batch` or `instance`.
        doublings: 6 or 5.
        spectral: whether the convolutions of the blocks are spectrally normalised.

    Raises:
        SlimgenError: an option is out of range, or the network cannot draw images of this size.
        RecipeError: the configuration is malformed.
    """
    widths = parse_config((ngf,) * 8 if config is None else config)
    shape: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "norm": norm, "doublings": doublings}
    return configured_cost(False, widths, height, width, **shape)


def mobile_spade_cost(
    height: int,
    width: int | None = None,
    *,
    inputs: int = 36,
    outputs: int = 3,
    ngf: int = 64,
    config: object = None,
    norm: str = "batch",
    doublings: int = 6,
    spectral: bool = False,
) -> Cost:
    """The cost of `MobileSpadeGenerator` in closed form; as `spade_cost`."""
    widths = parse_config((ngf,) * 8 if config is None else config)
    shape: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "norm": norm, "doublings": doublings}
    return configured_cost(True, widths, height, width, **shape)


def configured_cost(
    mobile: bool,
    config: Sequence[Any],
    height: int,
    width: int | None = None,
    *,
    inputs: int = 36,
    outputs: int = 3,
    norm: str = "batch",
    doublings: int = 6,
) -> Cost:
    """The cost at a channel configuration.

    Args:
        mobile: whether scale and shift of the SPADE layers come from separable convolutions.
        config: c0 .. c7, as whole numbers; or as eight integer arrays of one shape, which gives a Cost of arrays.
        height: image height in pixels.
        width: image width in pixels; by default as the height.
        inputs: channels of the label maps.
        outputs: channels of the images.
        norm: `batch` or `instance`.
        doublings: 6 or 5.

    Raises:
        SlimgenError: an option is out of range, or the network cannot draw images of this size.
    """
    width = height if width is None else width
    check_options(inputs, outputs, norm, doublings)
    check_size(height, width, doublings, mobile or norm == "instance")
    blocks = layout(config, doublings)
    # Blocks repeat between the candidates of a search; arrays of them do not, nor can they be kept by value.
    cost_of: Callable[..., Cost] = _kept_block_cost if isinstance(config[0], int) else _block_cost
    first, last = blocks[0], blocks[-1]
    return total(
        (
            convolution(inputs, first.inputs, 3, height // first.part, width // first.part),
            *(cost_of(mobile, block, inputs, norm, height, width) for block in blocks),
            convolution(last.outputs, outputs, 3, height, width),
        )
    )


def _block_cost(mobile: bool, block: Block, labels: int, norm: str, height: int, width: int) -> Cost:
    size = height // block.part, width // block.part

    def spade(channels: Any) -> Cost:
        into = convolution(labels, block.hidden, 3, *size)
        modulation = (separable if mobile else dense)(block.hidden, channels, *size)
        normed = instance_norm(channels, *size) if norm == "instance" else Cost()
        return total((into, modulation, modulation, normed, product(channels, *size)))

    parts = [
        spade(block.inputs),
        convolution(block.inputs, block.inner, 3, *size),
        spade(block.inner),
        convolution(block.inner, block.outputs, 3, *size),
    ]
    if block.learned:
        parts += [spade(block.inputs), convolution(block.inputs, block.outputs, 1, *size, bias=False)]
    return total(parts)


_kept_block_cost = lru_cache(maxsize=1 << 14)(_block_cost)
