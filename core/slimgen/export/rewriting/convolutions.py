"""Convolutions with few outputs, and those of enlarged features, in faster forms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from slimgen.export.rewriting.draft import ELEMENTWISE, NORMS, SUMS, Draft, attributes, node, window

if TYPE_CHECKING:
    from onnx import NodeProto

FEW, NARROW = 4, 12  # outputs that a convolution has at most where it is faster in another form
DEEP = 32  # inputs from which kernels larger than 3 x 3 are faster transposed than as squares
_DOUBLED: Mapping[str, object] = {
    "mode": b"nearest",
    "nearest_mode": b"floor",
    "coordinate_transformation_mode": b"asymmetric",
}


def enlarged(draft: Draft) -> None:
    """Makes an enlarging to twice the size by nearest neighbours and the convolution after it one that is transposed.

    The four pixels that are copies of one enter every sum together, so that their taps can be added up beforehand:
    (k + 1)^2 / 4 taps a pixel take the place of k^2. The kernel is the mirrored one, added up over its four places.
    """
    makers = draft.makers()
    for place, conv in enumerate(draft.nodes):
        found, before = window(draft, conv), makers.get(conv.input[0])
        if found is None or before is None or not _doubles(draft, before):
            continue
        weights, pads = found
        outputs, inputs, *sides = weights.shape
        if sides == [3, 3] and pads == [1] * 4 and (outputs <= NARROW or inputs >= 2 * outputs):
            kernel = places(weights[..., ::-1, ::-1]).sum(0)
            draft.nodes[place] = _transposed(draft, conv, before.input[0], kernel, "enlarged", [2, 2], pads)


def transposed(draft: Draft) -> None:
    """Makes convolutions to fewer channels ones that are transposed, of the mirrored kernel.

    What is multiplied is then every pixel with every tap, a product of matrices without padded channels; what is laid
    out between is k^2 values an output, and was k^2 an input.
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
        if (few or narrower) and 1 not in sides and min(cut) >= 0:
            kernel = weights[..., ::-1, ::-1]
            draft.nodes[place] = _transposed(draft, conv, conv.input[0], kernel, "mirrored", [1, 1], cut)


def squared(draft: Draft) -> None:
    """Makes convolutions by large kernels to at most `FEW` channels compute squares of 2 x 2 pixels.

    A kernel one pixel larger, which holds the kernel at its four places, moves in steps of two; its outputs, four times
    as many, are sorted into their squares. Where sixteen outputs cost what one does, (k + 1)^2 / 4 taps a pixel take
    the place of k^2. (The same as `slimgen.nets.functional.few_channels`.) Left as they are: sides that are odd, or
    may be.
    """
    makers = draft.makers()
    for place, conv in reversed(list(enumerate(draft.nodes))):
        found = window(draft, conv)
        if found is None or found[0].shape[0] > FEW or min(found[0].shape[2:]) <= 3:
            continue
        name, (weights, pads) = conv.output[0], found
        biases = [draft.array(bias) for bias in conv.input[2:]]
        if any(bias is None for bias in biases) or any(parity(draft, makers, name, axis) != 0 for axis in (2, 3)):
            continue
        # Of both orders of channels, the one that more runtimes know: place by place.
        kernel = places(weights).reshape(-1, weights.shape[1], *(side + 1 for side in weights.shape[2:]))
        inputs = [conv.input[0], draft.constant(f"{conv.input[1]}.squared", kernel)]
        inputs += [
            draft.constant(f"{bias}.squared", numpy.tile(value, 4))
            for bias, value in zip(conv.input[2:], biases, strict=True)
        ]
        draft.nodes[place : place + 1] = [
            node("Conv", inputs, f"{name}.squared", kernel_shape=kernel.shape[2:], strides=[2, 2], pads=pads),
            node("DepthToSpace", [f"{name}.squared"], name, blocksize=2, mode="DCR"),
        ]


def _transposed(
    draft: Draft, conv: "NodeProto", entering: str, kernel: NDArray[Any], what: str, steps: list[int], pads: list[int]
) -> "NodeProto":
    """A transposed convolution in the place of another; the kernel is (outputs, inputs, height, width)."""
    inputs = [entering, draft.constant(f"{conv.input[1]}.{what}", kernel.swapaxes(0, 1)), *conv.input[2:]]
    window = {"kernel_shape": kernel.shape[2:], "strides": steps, "pads": pads}
    return node("ConvTranspose", inputs, conv.output[0], **window)


def places(weights: NDArray[Any]) -> NDArray[Any]:
    """A kernel (outputs, inputs, k, k) at the four places (4, outputs, inputs, k + 1, k + 1) of one a pixel larger."""
    sides = [((0, 0), (0, 0), (down, 1 - down), (right, 1 - right)) for down in (0, 1) for right in (0, 1)]
    return numpy.stack([numpy.pad(weights, side) for side in sides])


def _doubles(draft: Draft, resize: "NodeProto") -> bool:
    if resize.op_type != "Resize" or len(resize.input) != 3:
        return False
    found, scales = attributes(resize), draft.array(resize.input[2])
    alike = all(found.get(name) == value for name, value in _DOUBLED.items())
    return alike and scales is not None and scales.tolist() == [1, 1, 2, 2]


def parity(draft: Draft, makers: Mapping[str, "NodeProto"], name: str, axis: int) -> int | None:
    """Whether a side (axis 2 or 3) of a value is even (0) or odd (1), whatever the size of the input; None: unknown."""
    shape = draft.shapes.get(name, ())
    if len(shape) == 4 and isinstance(side := shape[axis], int):
        return side % 2
    maker = makers.get(name)
    if maker is None:
        return None
    kind, found = maker.op_type, attributes(maker)
    if kind == "Resize" and _doubles(draft, maker):
        return 0
    if kind == "DepthToSpace":
        return 0 if found["blocksize"] % 2 == 0 else None
    if kind in SUMS or (kind == "Concat" and found["axis"] == 1):
        alike = [one for one in maker.input if draft.shapes.get(one, ())[2:] == shape[2:]]
        return next((known for one in alike if (known := parity(draft, makers, one, axis)) is not None), None)
    if kind in ELEMENTWISE | NORMS:
        return parity(draft, makers, maker.input[0], axis)
    if kind == "Pad" and len(maker.input) < 4 and (pads := draft.array(maker.input[1])) is not None:
        return _shifted(parity(draft, makers, maker.input[0], axis), int(pads[axis] + pads[axis + 4]))
    if kind in ("Conv", "ConvTranspose") and found.get("auto_pad", b"NOTSET") == b"NOTSET":
        return _of_window(draft, makers, maker, axis)
    return None


def _of_window(draft: Draft, makers: Mapping[str, "NodeProto"], conv: "NodeProto", axis: int) -> int | None:
    found, at = attributes(conv), axis - 2
    kernel = draft.shapes.get(conv.input[1], ())[axis:][:1]
    if not kernel or "output_shape" in found:
        return None
    pads, stride = found.get("pads", [0] * 4), found.get("strides", [1, 1])[at]
    grown = found.get("dilations", [1, 1])[at] * (int(kernel[0]) - 1) + pads[at] + pads[at + 2]
    if conv.op_type == "Conv":
        return _shifted(parity(draft, makers, conv.input[0], axis), grown) if stride == 1 else None
    grown += 1 + found.get("output_padding", [0, 0])[at] - stride
    before = 0 if stride % 2 == 0 else parity(draft, makers, conv.input[0], axis)
    return _shifted(before, grown)


def _shifted(known: int | None, by: int) -> int | None:
    return None if known is None else (known + by) % 2
