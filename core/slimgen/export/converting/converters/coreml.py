"""CoreML: one .mlpackage, an ML Program for iOS 16 and later. It can only be run on Apple's systems."""

import platform
from collections.abc import Sequence
from typing import Any

import coremltools
import torch

from .graph import Graph
from .job import Array, Job, Variant, perform


def convert(job: Job) -> Sequence[Variant]:
    """Return the package, in half precision, in which Apple's neural engine computes."""
    file = f"{job.stem}.mlpackage"
    module = Graph(str(job.graph), norms=True).eval()
    program = torch.export.export(module, (torch.from_numpy(job.one()),)).run_decompositions({})
    model = coremltools.convert(
        program,
        outputs=[coremltools.TensorType(name="output")],
        minimum_deployment_target=coremltools.target.iOS16,
        compute_precision=coremltools.precision.FLOAT16,
    )
    model.save(str(job.out / file))
    called = _called(model) if platform.system() == "Darwin" else None
    return [Variant("fp16", [file], "input input, output output", called)]


def _called(model: Any) -> Any:
    def call(images: Array) -> Array:
        output: Array = model.predict({"input": images})["output"]
        return output

    return call


if __name__ == "__main__":
    perform(convert)
