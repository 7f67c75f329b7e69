"""Paddings as slices that are put together."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy

from slimgen.export.rewriting.draft import Draft, attributes, node

if TYPE_CHECKING:
    from onnx import NodeProto

FILLED = -1  # in a list of positions: a position that is not taken from the input


def joined(draft: Draft) -> None:
    """Replace paddings by slices of the input, and constants, that are put together along one axis after the other.

    A mirrored border is made of slices of one pixel each: a slice that runs backwards is not taken everywhere.
    """
    nodes: list[NodeProto] = []
    for one in draft.nodes:
        nodes += _parts(draft, one) if one.op_type == "Pad" else [one]
    draft.nodes = nodes


def _parts(draft: Draft, pad: "NodeProto") -> list["NodeProto"]:
    """Return the nodes that replace a padding; the padding itself if its amounts are no constants."""
    pads, shape = draft.array(pad.input[1]), draft.shapes.get(pad.input[0])
    mode = attributes(pad).get("mode", b"constant").decode()
    filling = draft.array(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else numpy.zeros(1, numpy.float32)
    axes = draft.array(pad.input[3]) if len(pad.input) > 3 and pad.input[3] else None
    if pads is None or shape is None or filling is None:
        return [pad]
    size = [int(side) for side in shape]
    chosen = list(range(len(size))) if axes is None else [int(axis) % len(size) for axis in axes]
    half = len(pads) // 2
    amounts = {axis: (int(pads[at]), int(pads[at + half])) for at, axis in enumerate(chosen)}
    # The last axis first: what is put together along the ones before it lies whole in memory.
    padded = [axis for axis in sorted(amounts, reverse=True) if any(amounts[axis])]
    nodes, name = [], pad.input[0]
    for axis in padded:
        made = pad.output[0] if axis == padded[-1] else f"{pad.output[0]}.{axis}"
        places = positions(size[axis], *amounts[axis], mode)
        nodes += _along(draft, name, made, axis, size, places, filling)
        name, size[axis] = made, len(places)
    return nodes or [node("Identity", [name], pad.output[0])]


def positions(length: int, before: int, after: int, mode: str) -> list[int]:
    """Return the position in the input of each pixel of a padded row; `FILLED` for constants.

    Args:
        length: pixels of the row.
        before: pixels added before it; a negative number removes them.
        after: likewise, after it.
        mode: of ONNX's Pad: `constant`, `reflect`, `edge` or `wrap`.
    """
    places = []
    for place in range(-before, length + after):
        if 0 <= place < length:
            places.append(place)
        elif mode == "reflect":
            place = place % (2 * length - 2) if length > 1 else 0
            places.append(min(place, 2 * length - 2 - place))
        else:
            places.append({"edge": min(max(place, 0), length - 1), "wrap": place % length}.get(mode, FILLED))
    return places


def _along(
    draft: Draft, name: str, made: str, axis: int, size: list[int], places: list[int], filling: "numpy.ndarray"
) -> list["NodeProto"]:
    """Return the nodes that put together the given positions of a value along one axis."""
    made_of: dict[tuple[int, int], str] = {(0, size[axis]): name}  # a border may repeat one pixel
    nodes, parts = [], []
    for first, length in runs(places):
        part = f"{made}.{first}.{length}"
        if first == FILLED:
            shape = [length if other == axis else side for other, side in enumerate(size)]
            made_of[first, length] = draft.constant(part, numpy.full(shape, filling.reshape(-1)[0], filling.dtype))
        elif (first, length) not in made_of:
            made_of[first, length] = part
            nodes.append(sliced(draft, name, part, {axis: (first, first + length)}))
        parts.append(made_of[first, length])
    if len(parts) == 1 and nodes:
        nodes[0].output[0] = made
        return nodes
    return [*nodes, node("Concat", parts, made, axis=axis)]


def runs(places: list[int]) -> list[tuple[int, int]]:
    """Return where runs of positions begin, and their lengths: consecutive ones, or constants."""
    starts = [0, *(at for at, (one, next_) in enumerate(pairwise(places), 1) if not _follows(one, next_))]
    return [(places[at], end - at) for at, end in zip(starts, [*starts[1:], len(places)], strict=True)]


def _follows(one: int, other: int) -> bool:
    return other == FILLED == one or (FILLED not in (one, other) and other == one + 1)


def sliced(
    draft: Draft, name: str, made: str, ends: dict[int, tuple[int, int]], steps: dict[int, int] | None = None
) -> "NodeProto":
    """Return a slice of a value: for each axis the first position, the one after the last, and the step (else 1)."""
    wanted = {
        "starts": [first for first, _ in ends.values()],
        "ends": [end for _, end in ends.values()],
        "axes": list(ends),
        "steps": [(steps or {}).get(axis, 1) for axis in ends],
    }
    inputs = [
        draft.constant(".".join([what, *map(str, values)]), numpy.array(values, numpy.int64))
        for what, values in wanted.items()
    ]
    return node("Slice", [name, *inputs], made)
