"""OpenVINO: a model in float32, and one quantized to 8 bits by NNCF."""

import traceback
from collections.abc import Sequence
from typing import Any

import nncf
import openvino

from .job import Array, Job, Variant, perform


def convert(job: Job) -> Sequence[Variant]:
    """Return both models; each is a file of the graph and one of the weights. What NNCF cannot quantize is said."""
    core = openvino.Core()
    models = {"fp32": core.read_model(job.graph)}
    inputs = [job.calibration[at : at + 1] for at in range(len(job.calibration))]
    about = "input and output as in ONNX"
    try:
        models["int8"] = nncf.quantize(models["fp32"], nncf.Dataset(inputs), subset_size=len(inputs))
    except Exception as error:
        traceback.print_exc()
        about += f"; no int8, since NNCF cannot quantize it: {type(error).__name__}: {error}"
    variants = []
    for name, model in models.items():
        stem = job.stem if name == "fp32" else f"{job.stem}_{name}"
        openvino.save_model(model, job.out / f"{stem}.xml", compress_to_fp16=False)
        options = {"INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(job.out / f"{stem}.xml", "CPU", options)
        variants.append(Variant(name, [f"{stem}.xml", f"{stem}.bin"], about, _called(compiled)))
    return variants


def _called(compiled: Any) -> Any:
    def call(images: Array) -> Array:
        output: Array = compiled(images)[0]
        return output

    return call


if __name__ == "__main__":
    perform(convert)
