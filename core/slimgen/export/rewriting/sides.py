"""Parity of the sides of features for every image size, as far as the graph determines it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slimgen.export.rewriting.draft import ELEMENTWISE, NORMS, SUMS, Draft, attributes

if TYPE_CHECKING:
    from onnx import NodeProto

Parities = tuple[int | None, int | None]
"""Parity of height and width: 0 for even, 1 for odd, None for unknown."""
_UNKNOWN: Parities = (None, None)
_DOUBLED: Mapping[str, object] = {
    "mode": b"nearest",
    "nearest_mode": b"floor",
    "coordinate_transformation_mode": b"asymmetric",
}


def doubles(draft: Draft, resize: "NodeProto") -> bool:
    """Return whether a node upsamples images by 2 with nearest neighbours: each pixel becomes a square of 2 x 2."""
    if resize.op_type != "Resize" or len(resize.input) != 3:
        return False
    found, scales = attributes(resize), draft.array(resize.input[2])
    alike = all(found.get(name) == value for name, value in _DOUBLED.items())
    return alike and scales is not None and scales.tolist() == [1, 1, 2, 2]


def parities(draft: Draft) -> dict[str, Parities]:
    """Return the known parity of the sides of each value."""
    known = {name: _fixed(draft, name) for name in draft.shapes}
    for one in draft.nodes:
        made = _made(draft, one, known)
        for name in one.output:
            height, width = known.get(name, _UNKNOWN)
            known[name] = (made[0] if height is None else height, made[1] if width is None else width)
    return known


def _fixed(draft: Draft, name: str) -> Parities:
    shape = draft.shapes[name]
    if len(shape) != 4:
        return _UNKNOWN
    height, width = (side % 2 if isinstance(side, int) else None for side in shape[2:])
    return height, width


def _made(draft: Draft, one: "NodeProto", known: Mapping[str, Parities]) -> Parities:
    """Return the parities of a node's output, given those of its inputs."""
    kind, found = one.op_type, attributes(one)
    first = known.get(next(iter(one.input), ""), _UNKNOWN)
    if doubles(draft, one) or (kind == "DepthToSpace" and found["blocksize"] % 2 == 0):
        return 0, 0
    if kind in ELEMENTWISE | NORMS:
        return first
    if kind in SUMS or (kind == "Concat" and found["axis"] == 1):
        size = draft.shapes.get(one.output[0], ())[2:]
        alike = [known[part] for part in one.input if part in known and draft.shapes.get(part, ())[2:] == size]
        height, width = (next((part[at] for part in alike if part[at] is not None), None) for at in (0, 1))
        return height, width
    if kind == "Pad" and len(one.input) < 4 and (pads := draft.array(one.input[1])) is not None:
        return _plus(first[0], int(pads[2] + pads[6])), _plus(first[1], int(pads[3] + pads[7]))
    if kind in ("Conv", "ConvTranspose") and found.get("auto_pad", b"NOTSET") == b"NOTSET":
        return _of_window(draft, one, first, 0), _of_window(draft, one, first, 1)
    return _UNKNOWN


def _of_window(draft: Draft, conv: "NodeProto", before: Parities, at: int) -> int | None:
    found, kernel = attributes(conv), draft.shapes.get(conv.input[1], ())[2:]
    if len(kernel) != 2 or "output_shape" in found:
        return None
    pads, stride = found.get("pads", [0] * 4), found.get("strides", [1, 1])[at]
    grown = found.get("dilations", [1, 1])[at] * (int(kernel[at]) - 1) + pads[at] + pads[at + 2]
    if conv.op_type == "Conv":
        return _plus(before[at], grown) if stride == 1 else None
    grown += 1 + found.get("output_padding", [0, 0])[at] - stride
    return _plus(0 if stride % 2 == 0 else before[at], grown)


def _plus(known: int | None, by: int) -> int | None:
    return None if known is None else (known + by) % 2
