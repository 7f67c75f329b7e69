r"""What the eighth bit of an int8 file's weights is worth, and what it costs on a processor that overflows it.

    python -m benchmarks.bits runs/NAME

The original of a run, as it was trained, is quantized with weights of 7 bits, as `export` does, and of 8. Its outputs
on the test images are compared with those in float32: as onnxruntime computes them on this machine, and exactly, which
is when it computes with the integers' values in float32.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy
import onnx
import onnxruntime
from numpy.typing import NDArray

from benchmarks.results import save
from slimgen import files
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.export.formats import ALL, FAST, quantized
from slimgen.export.onnx import export_fixed
from slimgen.nets import build_generator
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.run.record import read_record

CALIBRATION = 64  # training images that value ranges come from, as by default in recipes


def main() -> None:
    """Measure one run's original, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    recipe = Recipe.parse(str(read_record(run / "teach")["recipe"]))
    net = build_generator(**recipe.teach.generator).eval()
    net.load_state_dict(load_weights(run / "teach" / files.GENERATOR))
    data = Prepared.open(run / "prepare")
    inputs, test = whole(data.split("train")).input[:CALIBRATION], whole(data.split("test"))
    plain = export_fixed(net, (1, *inputs.shape[1:]))
    given, wanted = test.input.numpy(), test.target.numpy()
    reference = outputs(plain, given, exact=False)
    ways = []
    for how in (FAST, ALL):
        for bits in (8, 7):
            parts = (part[None].numpy() for part in inputs)
            model = quantized(onnx.load_from_string(plain), parts, how, portable=bits == 7).SerializeToString()
            for exact in (True, False):
                made = outputs(model, given, exact)
                change = psnr(made, wanted) - psnr(reference, wanted)
                ways.append(
                    {"how": how, "bits": bits, "exact": exact, "to_fp32": psnr(made, reference), "change": change}
                )
    about = {"recipe": recipe.name, "size": recipe.size.plain, "images": len(given), "psnr": psnr(reference, wanted)}
    print(save("bits", {**about, "ways": ways}))


def outputs(model: bytes, images: NDArray[Any], exact: bool) -> NDArray[Any]:
    """Return the outputs for images (N, C, H, W), one call each."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if exact:  # without optimization, values are converted to float32 before every convolution
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return numpy.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def psnr(ones: NDArray[Any], others: NDArray[Any]) -> float:
    """Return the mean over images in [-1, 1] of their PSNR in dB."""
    errors = [numpy.square(one.astype(float) - other).mean() for one, other in zip(ones, others, strict=True)]
    return mean(float(10 * numpy.log10(4 / error)) for error in errors)


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = ["| convolutions | bits of weights | PSNR to float32: exact, here | change of PSNR: exact, here |"]
    lines.append("| --- " * 4 + "|")
    ways = {(one["how"], one["bits"], one["exact"]): one for one in found["ways"]}
    for how, bits in dict.fromkeys((how, bits) for how, bits, _ in ways):
        exact, here = (ways[how, bits, kind] for kind in (True, False))
        near = f"{exact['to_fp32']:.2f}, {here['to_fp32']:.2f}"
        lines.append(f"| `{how}` | {bits} | {near} | {exact['change']:+.3f}, {here['change']:+.3f} |")
    return "\n".join(
        [
            f"**Bits of the weights**, the original of {found['recipe']}, {found['images']} test images, in dB; "
            "*exact* is what the file says, *here* what onnxruntime computes on "
            f"{found['machine']['cpu']}. `{found['command']}`",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    main()
