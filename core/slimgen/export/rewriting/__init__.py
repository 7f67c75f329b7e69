"""Graphs in forms that onnxruntime computes faster on a CPU, with the same results.

torch's exporter, with onnxscript's optimizer, has already folded constants, merged repeated computations, put zero
paddings into convolutions and dropped nodes without effect. Layers with few channels remain slow: onnxruntime's
convolution always computes sixteen outputs at once on a processor with AVX-512 (eight with AVX2), and sorts them back
into a layout that the norm after it can read. Here

- nearest-neighbour upsampling and the convolution after it become one transposed convolution (`enlarged`);
- a convolution to few channels also becomes a transposed one, which is a matrix product (`transposed`),
- or, with a large kernel and few inputs, computes the pixels of each 2 x 2 square as channels (`squared`);
- a 1 x 1 convolution, which is a matrix product, gets its pixels in one row (`in_rows`).

`benchmarks/graph.py` measured where each of these is faster.
"""

from typing import TYPE_CHECKING

from slimgen.export.rewriting.convolutions import enlarged, squared, transposed
from slimgen.export.rewriting.draft import Draft
from slimgen.export.rewriting.rows import in_rows

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["rewritten"]


def rewritten(model: "ModelProto") -> "ModelProto":
    """Return a model with the same results, up to float32 rounding, for every size that the given one takes.

    Args:
        model: float32, with the shapes of its values; it is not changed. A model with branches or loops, which contain
            graphs, is returned as it is.
    """
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        return model
    draft = Draft(model)
    for rewrite in (enlarged, transposed, squared, in_rows):
        rewrite(draft)
    return draft.model()
