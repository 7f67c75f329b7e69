"""Graphs of one size made only of what the runtimes of phones take, with the same results.

CoreML (through onnxruntime), LiteRT and ncnn take fewer operators than a CPU, and fewer forms of each. Given one
static shape, each remaining operator has an exact equivalent among those that all of them take:

- paddings that repeat or mirror pixels are slices that are put together again (`joined`);
- a transposed convolution is computed without padding, and its result cropped (`cropped`);
- nearest-neighbour resizing has a whole factor, and where it shrinks it is a slice with steps (`resized`);
- bicubic enlargement is a convolution that computes all pixels made of one as channels (`cubic`);
- channels and pixels are exchanged in the order of channels that all runtimes have (`shuffled`, `unshuffled`);
- a batch norm that no convolution has absorbed is a product and a sum (`scaled`), and a number that is added to a
  convolution's result is part of its bias (`absorbed`);
- pooling does not round up sizes that are whole (`rounded`).

Of the forms that are faster in onnxruntime on a CPU (`slimgen.export.rewriting`), `squared` is kept. The others serve
its processor's layout of channels: rows are no images, and transposed convolutions are what phones are slowest at.
"""

from typing import TYPE_CHECKING

from slimgen.errors import ExportError
from slimgen.export.rewriting.convolutions import squared
from slimgen.export.rewriting.draft import Draft
from slimgen.export.rewriting.phones.pads import joined
from slimgen.export.rewriting.phones.pixels import cubic, resized, shuffled, unshuffled
from slimgen.export.rewriting.phones.weights import absorbed, cropped, rounded, scaled

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["for_phones"]

REWRITES = (absorbed, rounded, unshuffled, shuffled, cubic, squared, resized, scaled, cropped, joined)


def for_phones(model: "ModelProto") -> "ModelProto":
    """Return a model with the same results, up to float32 rounding, in the forms that runtimes of phones take.

    What has no such form stays as it is; `slimgen.export.usability` tells what a runtime takes.

    Args:
        model: float32, as torch's exporter writes it (`rewrite=False`), with one fixed shape; it is not changed.

    Raises:
        ExportError: a shape varies, or the graph has branches or loops.
    """
    from onnx import ModelProto, shape_inference

    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        raise ExportError("a graph for phones must have no branches and no loops", "one that has")
    copy = ModelProto()
    copy.CopyFrom(model)
    draft = Draft(copy)
    varying = {name for name, shape in draft.shapes.items() if not all(isinstance(side, int) for side in shape)}
    if varying:
        raise ExportError("a graph for phones must have one fixed shape", f"one that varies in {min(varying)!r}")
    for rewrite in REWRITES:
        rewrite(draft)
    for one in draft.nodes:
        one.name = one.name.replace(" ", "_")  # some runtimes' files are split at spaces
    return shape_inference.infer_shapes(draft.model(), data_prop=True)
