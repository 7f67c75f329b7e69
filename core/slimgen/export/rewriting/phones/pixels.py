"""Resizing, and pixels exchanged for channels, in forms that phones take."""

from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from slimgen.export.rewriting.draft import Draft, attributes, node
from slimgen.export.rewriting.phones.pads import sliced

if TYPE_CHECKING:
    from onnx import NodeProto

NEAREST = {"mode": b"nearest", "nearest_mode": b"floor", "coordinate_transformation_mode": b"asymmetric"}
DEFAULT = NEAREST | {"nearest_mode": b"round_prefer_floor", "coordinate_transformation_mode": b"half_pixel"}
READ = {
    b"linear": ("mode", "coordinate_transformation_mode"),
    b"cubic": ("mode", "coordinate_transformation_mode", "cubic_coeff_a"),
}
"""Attributes of resizing that each mode reads, and which onnxruntime's provider for CoreML does not refuse."""
REACH = 2  # pixels on either side that bicubic interpolation reads
UNSHUFFLED = [0, 1, 3, 5, 2, 4]  # axes of (N, C, H, b, W, b) in the order of (N, C, b, b, H, W)


def resized(draft: Draft) -> None:
    """Give nearest-neighbour resizing a whole factor for each side, and replace it by a slice where it shrinks.

    Other resizing is left as it is, without the attributes that it does not read.
    """
    for place, one in enumerate(draft.nodes):
        sides = _sides(draft, one)
        if sides is None:
            continue
        (high, wide), (height, width) = sides
        name, made, found = one.input[0], one.output[0], DEFAULT | attributes(one)
        if found.get("antialias", 0) or found.get("exclude_outside", 0):
            continue
        if found["mode"] != b"nearest":
            read = {key: found[key] for key in READ[found["mode"]] if key in found}
            inputs = [name, _no_region(draft), *one.input[2:]]
            draft.nodes[place] = node("Resize", inputs, made, **read)
        elif any(found[key] != value for key, value in NEAREST.items()):
            continue
        elif high <= height and wide <= width and height % high == width % wide == 0:
            factors = numpy.array([1, 1, height // high, width // wide], numpy.float32)
            scales = draft.constant(f"times.{height // high}.{width // wide}", factors)
            draft.nodes[place] = node("Resize", [name, _no_region(draft), scales], made, **NEAREST)
        elif high % height == wide % width == 0:
            steps = {2: high // height, 3: wide // width}
            draft.nodes[place] = sliced(draft, name, made, {2: (0, high), 3: (0, wide)}, steps)


def _no_region(draft: Draft) -> str:
    """Return an empty region of interest: onnxruntime takes an omitted one for a value of unknown shape."""
    return draft.constant("no.region", numpy.empty(0, numpy.float32))


def _sides(draft: Draft, one: "NodeProto") -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the sides of images before and after they are resized; None for any other node."""
    if one.op_type != "Resize":
        return None
    before, after = (draft.shapes.get(name, ()) for name in (one.input[0], one.output[0]))
    if len(before) != 4 or before[:2] != after[:2]:
        return None
    return (int(before[2]), int(before[3])), (int(after[2]), int(after[3]))


def cubic(draft: Draft) -> None:
    """Replace bicubic enlargement by a whole factor by a convolution, whose channels are sorted into squares."""
    nodes: list[NodeProto] = []
    for one in draft.nodes:
        sides = _sides(draft, one)
        nodes += [one] if sides is None else _as_convolution(draft, one, *sides)
    draft.nodes = nodes


def _as_convolution(
    draft: Draft, one: "NodeProto", before: tuple[int, int], after: tuple[int, int]
) -> list["NodeProto"]:
    found, factor = DEFAULT | attributes(one), after[0] // before[0]
    if found["mode"] != b"cubic" or after != (factor * before[0], factor * before[1]):
        return [one]
    halved = found["coordinate_transformation_mode"] in (b"half_pixel", b"pytorch_half_pixel")
    if not halved or found.get("exclude_outside", 0) or found.get("antialias", 0):
        return [one]
    name, made, channels = one.input[0], one.output[0], int(draft.shapes[one.input[0]][1])
    squares = cubic_kernels(factor, found.get("cubic_coeff_a", -0.75))
    kernel = numpy.zeros((len(squares), channels, channels, *squares.shape[1:]), numpy.float32)
    for channel in range(channels):  # place by place, in the order of channels that all runtimes have
        kernel[:, channel, channel] = squares
    kernel = kernel.reshape(-1, *kernel.shape[2:])
    pads = draft.constant("around.cubic", numpy.array([0, 0, REACH, REACH] * 2, numpy.int64))
    around, squared = f"{made}.around", f"{made}.squared"
    height, width = (side + 2 * REACH for side in before)
    draft.shapes[around] = (draft.shapes[name][0], channels, height, width)
    weights = draft.constant(f"cubic.{factor}.{channels}", kernel)
    return [
        node("Pad", [name, pads], around, mode="edge"),
        node("Conv", [around, weights], squared, kernel_shape=kernel.shape[2:], strides=[1, 1], pads=[0] * 4),
        node("DepthToSpace", [squared], made, blocksize=factor, mode="DCR"),
    ]


def cubic_kernels(factor: int, a: float) -> NDArray[Any]:
    """Return the weights of the 5 x 5 pixels around one, for each pixel made of it: (factor^2, 5, 5).

    The weight of a pixel at distance d is (a + 2) d^3 - (a + 3) d^2 + 1 up to 1, and a (d^3 - 5 d^2 + 8 d - 4) up to 2
    (Keys, "Cubic convolution interpolation for digital image processing", 1981).
    """
    made = (numpy.arange(factor) + 0.5) / factor - 0.5
    apart = numpy.abs(made[:, None] - numpy.arange(-REACH, REACH + 1))
    near = ((a + 2) * apart - (a + 3)) * apart**2 + 1
    far = a * (((apart - 5) * apart + 8) * apart - 4)
    taps = numpy.where(apart <= 1, near, numpy.where(apart < 2, far, 0.0))
    squares: NDArray[Any] = numpy.einsum("yi,xj->yxij", taps, taps).reshape(factor**2, *(taps.shape[1],) * 2)
    return squares.astype(numpy.float32)


def shuffled(draft: Draft) -> None:
    """Sort the channels of a convolution so that they can be exchanged for pixels place by place (DCR).

    torch exchanges them channel by channel (CRD), which not all runtimes have. Where no convolution comes right before,
    the node is left as it is.
    """
    makers, readers = draft.makers(), draft.readers()
    for place, one in enumerate(draft.nodes):
        found = attributes(one)
        if one.op_type != "DepthToSpace" or found.get("mode", b"DCR") != b"CRD":
            continue
        conv = makers.get(one.input[0])
        if conv is None or conv.op_type != "Conv" or readers[one.input[0]] > 1:
            continue
        kernel = draft.array(conv.input[1])
        biases = [draft.array(name) for name in conv.input[2:]]
        if kernel is None or attributes(conv).get("group", 1) != 1 or any(bias is None for bias in biases):
            continue
        squares = found["blocksize"] ** 2
        order = numpy.arange(len(kernel)).reshape(-1, squares).T.reshape(-1)
        sorted_ = type(conv)()
        sorted_.CopyFrom(conv)
        for at, values in enumerate([kernel, *biases], 1):
            assert values is not None
            sorted_.input[at] = draft.constant(f"{conv.input[at]}.sorted", values[order])
        draft.nodes[draft.nodes.index(conv)] = sorted_
        draft.nodes[place] = node("DepthToSpace", list(one.input), one.output[0], blocksize=found["blocksize"])


def unshuffled(draft: Draft) -> None:
    """Replace the exchange of pixels for channels, written with six axes, by a convolution of ones and zeros.

    No runtime of phones takes six axes.
    """
    makers = draft.makers()
    for place, last in enumerate(draft.nodes):
        turned = makers.get(last.input[0]) if last.op_type == "Reshape" else None
        if turned is None or turned.op_type != "Transpose" or attributes(turned).get("perm") != UNSHUFFLED:
            continue
        split = makers.get(turned.input[0])
        if split is None or split.op_type != "Reshape":
            continue
        before, six, after = (draft.shapes.get(name, ()) for name in (split.input[0], split.output[0], last.output[0]))
        if len(before) != 4 or len(six) != 6 or six[3] != six[5] or tuple(before[:2]) != tuple(six[:2]):
            continue
        channels, block = int(six[1]), int(six[3])
        if tuple(after) != (six[0], channels * block**2, six[2], six[4]):
            continue
        places = numpy.eye(channels * block**2, dtype=numpy.float32)
        kernel = places.reshape(-1, channels, block, block)
        weights = draft.constant(f"every.{block}.{channels}", kernel)
        draft.nodes[place] = node(
            "Conv",
            [split.input[0], weights],
            last.output[0],
            kernel_shape=[block] * 2,
            strides=[block] * 2,
            pads=[0] * 4,
        )
