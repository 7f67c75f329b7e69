"""LiteRT (TensorFlow Lite): one .tflite file."""

from collections.abc import Sequence

import litert_torch
import torch
from ai_edge_litert.interpreter import Interpreter

from .graph import Graph
from .job import Array, Job, Variant, perform


def convert(job: Job) -> Sequence[Variant]:
    """Return the file; its input and output are as in ONNX, channels first."""
    file = f"{job.stem}.tflite"
    litert_torch.convert(Graph(str(job.graph)).eval(), (torch.from_numpy(job.one()),)).export(str(job.out / file))
    interpreter = Interpreter(str(job.out / file), num_threads=job.threads)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def call(images: Array) -> Array:
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        output: Array = interpreter.get_tensor(made["index"])
        return output

    return [Variant("fp32", [file], f"input {given['name']}, output {made['name']}", call)]


if __name__ == "__main__":
    perform(convert)
