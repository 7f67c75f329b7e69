"""OpenVINO: a model in float32, and one quantized to 8 bits by NNCF."""

from collections.abc import Sequence
from typing import Any

import nncf
import openvino

from .job import Array, Form, Job, perform


def convert(job: Job) -> Sequence[Form]:
    """Return both models; each is a file of the graph and one of the weights."""
    core = openvino.Core()
    plain = core.read_model(job.graph)
    inputs = [job.calibration[at : at + 1] for at in range(len(job.calibration))]
    smaller = nncf.quantize(plain, nncf.Dataset(inputs), subset_size=len(inputs))
    forms = []
    for name, model in (("fp32", plain), ("int8", smaller)):
        stem = job.stem if name == "fp32" else f"{job.stem}_{name}"
        openvino.save_model(model, job.out / f"{stem}.xml", compress_to_fp16=False)
        options = {"INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(job.out / f"{stem}.xml", "CPU", options)
        forms.append(Form(name, [f"{stem}.xml", f"{stem}.bin"], "input and output as in ONNX", _called(compiled)))
    return forms


def _called(compiled: Any) -> Any:
    def call(images: Array) -> Array:
        output: Array = compiled(images)[0]
        return output

    return call


if __name__ == "__main__":
    perform(convert)
