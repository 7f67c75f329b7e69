"""ncnn, through pnnx: a file of layers and one of weights."""

import os
import re
import subprocess
from collections.abc import Sequence
from importlib import util
from pathlib import Path

import ncnn
import numpy
import onnx
from onnx import helper, numpy_helper

from .job import Array, Job, Variant, perform

SHUFFLED = re.compile(r"ignore DepthToSpace (\S+) param (blocksize|mode)=(\w+)")
SPATIAL = [2, 3]


def convert(job: Job) -> Sequence[Variant]:
    """Return the two files; an image is a Mat of (channels, height, width), without the batch axis."""
    entering, layers, weights = (job.out / f"{job.stem}{end}" for end in (".pnnx.onnx", ".ncnn.param", ".ncnn.bin"))
    model = onnx.load(job.graph)
    thin_out(model)
    onnx.save(model, entering)
    said = run_pnnx(entering, layers, weights)
    layers.write_text(with_shuffles(layers.read_text(), said))
    for left in job.out.glob(f"{job.stem}.pnnx*"):
        left.unlink()
    net = ncnn.Net()
    net.opt.num_threads = job.threads
    # Otherwise a processor that has it computes in half precision, and nothing would tell a wrong conversion from it.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(layers)) or net.load_model(str(weights)):
        raise ValueError("ncnn cannot load what pnnx made of the graph")

    def call(images: Array) -> Array:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(images[0]).clone())
        failed, made = extractor.extract("out0")
        if failed:
            raise ValueError("ncnn cannot compute what pnnx made of the graph")
        return numpy.array(made)[None]

    return [Variant("fp32", [layers.name, weights.name], "input in0, output out0", call)]


def thin_out(model: onnx.ModelProto) -> None:
    """Replace slices with steps of images by poolings of one pixel, since ncnn's crops have no steps."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for place, node in enumerate(model.graph.node):
        if node.op_type != "Slice" or len(node.input) < 5:
            continue
        starts, _, axes, steps = (known[name].tolist() for name in node.input[1:])
        if axes == SPATIAL and starts == [0, 0] and min(steps) > 0 and max(steps) > 1:
            window = {"kernel_shape": [1, 1], "strides": steps, "pads": [0] * 4}
            model.graph.node[place].CopyFrom(
                helper.make_node("MaxPool", node.input[:1], node.output, node.name, **window)
            )


def run_pnnx(graph: Path, layers: Path, weights: Path) -> str:
    """Run the program pnnx, which its package holds, and return what it says."""
    package = util.find_spec("pnnx")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).with_name("pnnx.exe" if os.name == "nt" else "pnnx")
    command = [str(program), str(graph), "fp16=0", f"ncnnparam={layers}", f"ncnnbin={weights}"]
    ended = subprocess.run(command, cwd=graph.parent, capture_output=True, text=True)
    said = ended.stdout + ended.stderr
    print(said)
    if not layers.is_file():
        raise ValueError(f"pnnx ended with status {ended.returncode} and wrote no layers")
    return said


def with_shuffles(layers: str, said: str) -> str:
    """Give ncnn's names and parameters to exchanges of channels for pixels, of which pnnx leaves those of ONNX."""
    blocks: dict[str, dict[str, str]] = {}
    for name, parameter, value in SHUFFLED.findall(said):
        blocks.setdefault(name, {})[parameter] = value
    lines = []
    for line in layers.splitlines():
        kind, name = [*line.split(), "", ""][:2]
        if kind == "DepthToSpace" and name in blocks:
            given = blocks[name]
            order = int(given.get("mode", "DCR") == "DCR")
            line = f"{line.replace('DepthToSpace', 'PixelShuffle', 1)} 0={given['blocksize']} 1={order}"
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    perform(convert)
