"""Graphs in forms that onnxruntime computes faster on a CPU, with the same results.

The exporter of torch, by the optimizer of onnxscript, has folded constants, merged what is computed twice, put zero
paddings into convolutions and dropped what does nothing. What is left is slow where channels are few: onnxruntime's
convolution computes sixteen outputs at once on a processor with AVX-512, eight with AVX2, however few there are, and
sorts them back into a layout that the norm after it can read. Here

- an enlarging by nearest neighbours and the convolution after it become one transposed convolution (`enlarged`);
- a convolution to few channels becomes a transposed one, too, which is a product of matrices (`transposed`),
- or, by a large kernel of few inputs, computes the pixels of each square of 2 x 2 as channels (`squared`);
- a convolution of 1 x 1, which is a product of matrices, is given its pixels in one row (`in_rows`).

Where each of these pays was measured, by `benchmarks/graph.py`.
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
        model: float32, with the shapes of its values; it is not changed. One of branches or loops, which hold graphs
            of their own, is returned as it is.
    """
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        return model
    draft = Draft(model)
    for rewrite in (enlarged, transposed, squared, in_rows):
        rewrite(draft)
    return draft.model()
