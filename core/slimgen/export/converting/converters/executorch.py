"""ExecuTorch with XNNPACK: one .pte file."""

from collections.abc import Sequence

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

from .graph import Graph
from .job import Array, Job, Variant, perform

WHOLE = "executorch_call_delegate"


def convert(job: Job) -> Sequence[Variant]:
    """Return the file, and say in how many pieces XNNPACK computes it."""
    file = f"{job.stem}.pte"
    program = torch.export.export(Graph(str(job.graph)).eval(), (torch.from_numpy(job.one()),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    nodes = lowered.exported_program().graph_module.graph.nodes
    pieces = sum(node.op == "call_function" and str(node.target).endswith(WHOLE) for node in nodes)
    (job.out / file).write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(job.out / file).load_method("forward")

    def call(images: Array) -> Array:
        output: Array = method.execute([torch.from_numpy(images)])[0].numpy()
        return output

    return [Variant("fp32", [file], f"method forward; pieces that XNNPACK computes: {pieces}", call)]


if __name__ == "__main__":
    perform(convert)
