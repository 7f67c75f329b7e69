"""Convolutions of 1 x 1 as matrix products, with the pixels of an image in one row."""

from typing import TYPE_CHECKING

import numpy

from slimgen.export.rewriting.draft import ELEMENTWISE, SUMS, Draft, node, window

if TYPE_CHECKING:
    from onnx import NodeProto

WIDE = 32  # multiples of this, in and out, are as fast in onnxruntime's own layout for convolutions
_INSTANCE = "InstanceNormalization"


def in_rows(draft: Draft, everywhere: bool = False) -> None:
    """Replace 1 x 1 convolutions by one-dimensional ones on (N, C, H W).

    onnxruntime computes these as matrix products in the present layout, without padding channels or sorting them. The
    nodes after one stay in rows, too, while they treat every pixel alike (norm, activation, sum). Two kinds are not
    changed: convolutions right after others, which pass on onnxruntime's own layout; and, unless `everywhere`, those
    whose input and output widths are both multiples of `WIDE`.
    """
    rows = _Rows(draft, everywhere)
    for one in draft.nodes:
        rows.take(one)
    for name in draft.outputs:
        rows.image(name)
    draft.nodes = rows.nodes


class _Rows:
    """Nodes so far, and the values that exist in rows, as well as or instead of images."""

    def __init__(self, draft: Draft, everywhere: bool) -> None:
        self.nodes: list[NodeProto] = []
        self._everywhere = everywhere
        self._draft, self._makers = draft, draft.makers()
        self._rows: dict[str, str] = {}
        self._alone: dict[str, str] = {}  # values that exist only in rows, to an image of their size
        self._targets: dict[tuple[int | str, ...], str] = {}

    def take(self, one: "NodeProto") -> None:
        """Add a node, in rows if possible."""
        name, first = one.output[0], next(iter(one.input), "")
        if self._narrow(one):
            source = self._alone.get(first, first)
            weights = self._draft.array(one.input[1])
            assert weights is not None
            kernel = self._draft.constant(f"{one.input[1]}.rows", weights[..., 0])
            inputs = [self._row(first), kernel, *one.input[2:]]
            self._add(node("Conv", inputs, f"{name}.rows", kernel_shape=[1]), name, source)
        elif one.op_type in ELEMENTWISE | {_INSTANCE} and first in self._alone:
            self._add(self._twin(one, [self._rows[first], *one.input[1:]]), name, self._alone[first])
        elif one.op_type in SUMS and self._summed(one):
            source = next(self._alone[part] for part in one.input if part in self._alone)
            self._add(self._twin(one, [self._rows.get(part, part) for part in one.input]), name, source)
        else:
            for part in one.input:
                self.image(part)
            self.nodes.append(one)

    def image(self, name: str) -> None:
        """Turn a value that exists only in rows into an image."""
        if name in self._alone:
            target = self._target(self._alone.pop(name))
            self.nodes.append(node("Reshape", [self._rows[name], target], name))

    def _narrow(self, one: "NodeProto") -> bool:
        found = window(self._draft, one)
        if found is None or found[0].shape[2:] != (1, 1) or any(found[1]):
            return False
        outputs, inputs = found[0].shape[:2]
        known, first = len(self._draft.shapes.get(one.input[0], ())) == 4, one.input[0]
        suits = self._everywhere or outputs % WIDE or inputs % WIDE
        return bool(known and suits) and (first in self._alone or not self._handed_on(first))

    def _handed_on(self, name: str) -> bool:
        """Return whether a value comes from a convolution, or from activations or a folded norm after one."""
        maker = self._makers.get(name)
        if maker is None or maker.op_type not in ELEMENTWISE | {"Conv", "BatchNormalization"}:
            return False
        return maker.op_type == "Conv" or self._handed_on(maker.input[0])

    def _summed(self, one: "NodeProto") -> bool:
        """Return whether a sum has a part only in rows, and the others are in rows too, or single numbers."""
        shape = self._draft.shapes.get(one.output[0])
        alike = [part for part in one.input if self._draft.shapes.get(part, ()) == shape]
        # A number of rank 4 would turn values in rows to rank 4 too.
        values = ((part, self._draft.array(part)) for part in one.input)
        numbers = [part for part, value in values if value is not None and value.size == 1 and value.ndim < 4]
        in_rows = all(part in self._rows for part in alike)
        return in_rows and any(part in self._alone for part in alike) and len(alike) + len(numbers) == len(one.input)

    def _add(self, made: "NodeProto", name: str, source: str) -> None:
        self.nodes.append(made)
        self._rows[name], self._alone[name] = made.output[0], source

    @staticmethod
    def _twin(one: "NodeProto", inputs: list[str]) -> "NodeProto":
        twin = type(one)()
        twin.CopyFrom(one)
        del twin.input[:], twin.output[:]
        twin.input.extend(inputs)
        twin.output.append(f"{one.output[0]}.rows")
        twin.name = f"{twin.output[0]} by {one.op_type}"
        return twin

    def _row(self, name: str) -> str:
        """Return the name of a value in rows, and convert it if necessary."""
        if name not in self._rows:
            self._rows[name] = f"{name}.rows"
            shape = self._draft.constant("in rows", numpy.array([0, 0, -1], numpy.int64))
            self.nodes.append(node("Reshape", [name, shape], self._rows[name]))
        return self._rows[name]

    def _target(self, source: str) -> str:
        """Return the shape [N, C, H, W] of an image of `source`'s size for Reshape, computed once per size."""
        size = self._draft.shapes[source][2:]
        name = f"as {' x '.join(map(str, size))}"
        if all(isinstance(side, int) for side in size):
            return self._draft.constant(name, numpy.array([0, 0, *size], numpy.int64))
        if size not in self._targets:
            kept = self._draft.constant("as many", numpy.zeros(2, numpy.int64))
            self.nodes.append(node("Shape", [source], f"{source}.size", start=2))
            self.nodes.append(node("Concat", [kept, f"{source}.size"], f"{source}.image", axis=0))
            self._targets[size] = f"{source}.image"
        return self._targets[size]
