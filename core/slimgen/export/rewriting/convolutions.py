"""Faster forms of convolutions with few outputs and of convolutions after upsampling.

Each is applied where it measured faster at 64 to 256 px (`benchmarks/graph.py`), or `everywhere` it can be.
"""

from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from slimgen.export.rewriting.draft import Draft, node, window
from slimgen.export.rewriting.sides import doubles, parities

if TYPE_CHECKING:
    from onnx import NodeProto

FEW, NARROW = 4, 12  # most outputs of a convolution that is faster in another form
DEEP = 32  # fewest inputs at which kernels larger than 3 x 3 are faster transposed than as squares


def enlarged(draft: Draft, everywhere: bool = False) -> None:
    """Replace nearest-neighbour upsampling by 2 and the convolution after it by one transposed convolution.

    Four copies of one pixel enter every sum together, so their taps can be summed in advance: (k + 1)^2 / 4 taps per
    pixel replace k^2. The new kernel is the mirrored one, summed over its four places.
    """
    makers = draft.makers()
    for place, conv in enumerate(draft.nodes):
        found, before = window(draft, conv), makers.get(conv.input[0])
        if found is None or before is None or not doubles(draft, before):
            continue
        weights, pads = found
        outputs, inputs, *sides = weights.shape
        faster = inputs >= (1 if outputs <= NARROW else 2) * outputs
        if sides == [3, 3] and pads == [1] * 4 and (faster or everywhere):
            kernel = places(weights[..., ::-1, ::-1]).sum(0)
            draft.nodes[place] = _transposed(draft, conv, before.input[0], kernel, "enlarged", [2, 2], pads)


def transposed(draft: Draft, everywhere: bool = False) -> None:
    """Replace convolutions to fewer channels by transposed ones with the mirrored kernel.

    Every pixel is then multiplied with every tap, in a matrix product without padded channels; the buffer in between
    holds k^2 values per output channel instead of k^2 per input channel.
    """
    for place, conv in enumerate(draft.nodes):
        found = window(draft, conv)
        if found is None:
            continue
        weights, pads = found
        outputs, inputs, *sides = weights.shape
        few = outputs <= FEW and (sides == [3, 3] or inputs >= DEEP)
        narrower = outputs <= NARROW and inputs >= 2 * outputs and sides == [3, 3]
        cut = [side - 1 - pad for side, pad in zip(sides * 2, pads, strict=True)]
        if (few or narrower or everywhere) and 1 not in sides and min(cut) >= 0:
            kernel = weights[..., ::-1, ::-1]
            draft.nodes[place] = _transposed(draft, conv, conv.input[0], kernel, "mirrored", [1, 1], cut)


def squared(draft: Draft, everywhere: bool = False) -> None:
    """Replace convolutions with large kernels to at most `FEW` channels by ones that compute squares of 2 x 2 pixels.

    A kernel one pixel larger, which contains the kernel at four places, moves in steps of two; its four times as many
    outputs are sorted into their squares. Where sixteen outputs cost as much as one, (k + 1)^2 / 4 taps per pixel
    replace k^2 (as in `slimgen.nets.functional.few_channels`). Convolutions whose sides are or may be odd are not
    changed.
    """
    known = parities(draft)
    for place, conv in reversed(list(enumerate(draft.nodes))):
        found = window(draft, conv)
        if found is None or not (everywhere or (found[0].shape[0] <= FEW and min(found[0].shape[2:]) > 3)):
            continue
        name, (weights, pads) = conv.output[0], found
        biases = {bias: value for bias in conv.input[2:] if (value := draft.array(bias)) is not None}
        if len(biases) < len(conv.input) - 2 or known.get(name) != (0, 0):
            continue
        # Of both orders of channels, the one that more runtimes support: place by place.
        kernel = places(weights).reshape(-1, weights.shape[1], *(side + 1 for side in weights.shape[2:]))
        inputs = [conv.input[0], draft.constant(f"{conv.input[1]}.squared", kernel)]
        inputs += [draft.constant(f"{bias}.squared", numpy.tile(value, 4)) for bias, value in biases.items()]
        draft.nodes[place : place + 1] = [
            node("Conv", inputs, f"{name}.squared", kernel_shape=kernel.shape[2:], strides=[2, 2], pads=pads),
            node("DepthToSpace", [f"{name}.squared"], name, blocksize=2, mode="DCR"),
        ]


def _transposed(
    draft: Draft, conv: "NodeProto", entering: str, kernel: NDArray[Any], what: str, steps: list[int], pads: list[int]
) -> "NodeProto":
    """Replace a convolution by a transposed one; the kernel is (outputs, inputs, height, width)."""
    inputs = [entering, draft.constant(f"{conv.input[1]}.{what}", kernel.swapaxes(0, 1)), *conv.input[2:]]
    window = {"kernel_shape": kernel.shape[2:], "strides": steps, "pads": pads}
    return node("ConvTranspose", inputs, conv.output[0], **window)


def places(weights: NDArray[Any]) -> NDArray[Any]:
    """Return a kernel (outputs, inputs, k, k) at the four places (4, outputs, inputs, k + 1, k + 1) of a larger one."""
    sides = [((0, 0), (0, 0), (down, 1 - down), (right, 1 - right)) for down in (0, 1) for right in (0, 1)]
    return numpy.stack([numpy.pad(weights, side) for side in sides])
