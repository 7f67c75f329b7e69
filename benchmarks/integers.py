r"""Size and time of networks in 8-bit integers, by family, with weights as drawn.

    python -m benchmarks.integers

Each network is exported for one size, quantized both ways of `export.int8`, and timed in turns with its float32 form,
one image per call, one thread. Weights are drawn, so nothing is said of quality here.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import numpy
import onnx

from benchmarks.results import save
from slimgen.cost.latency import latencies_in_turns, onnx_timed
from slimgen.export.formats import ALL, FAST, quantized
from slimgen.export.onnx import export_fixed
from slimgen.nets import build_generator

NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {
    "ResNet, ngf 32, 6 blocks": ("resnet", {"ngf": 32, "blocks": 6}, 64),
    "ResNet, ngf 12, 6 blocks": ("resnet", {"ngf": 12, "blocks": 6}, 64),
    "mobile ResNet, ngf 24": ("mobile_resnet", {"ngf": 24}, 64),
    "U-Net, ngf 16": ("unet", {"ngf": 16}, 256),
    "SRResNet, 32 channels, 8 blocks": ("srresnet", {"channels": 32, "blocks": 8, "scale": 4}, 64),
    "RRDBNet, 32 channels, 2 blocks": ("rrdbnet", {"channels": 32, "blocks": 2, "growth": 16, "scale": 4}, 48),
    "SRVGGNetCompact, 32 channels, 8 blocks": ("srvgg", {"channels": 32, "blocks": 8, "scale": 4}, 64),
}


def main() -> None:
    """Measure all networks, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="timed calls of each form")
    runs = parser.parse_args().runs
    networks = {}
    for name, (family, options, size) in NETWORKS.items():
        networks[name] = {"input": size, **measured(family, options, size, runs)}
        print(name, networks[name], flush=True)
    print(save("integers", {"networks": networks}))


def measured(family: str, options: Mapping[str, Any], size: int, runs: int) -> dict[str, dict[str, float]]:
    """Return bytes and milliseconds of a network in float32, and in integers both ways."""
    shape, rng = (1, 3, size, size), numpy.random.default_rng(0)
    content = export_fixed(build_generator(family, **options).eval(), shape)
    forms = {"fp32": content}
    for how in (FAST, ALL):
        inputs = [rng.uniform(-1, 1, shape).astype(numpy.float32) for _ in range(4)]
        forms[how] = quantized(onnx.load_from_string(content), inputs, how).SerializeToString(deterministic=True)
    timed = {name: onnx_timed(form, shape, 1) for name, form in forms.items()}
    times = latencies_in_turns(timed, threads=1, runs=runs)
    return {name: {"bytes": len(form), "ms": times[name].p50_ms} for name, form in forms.items()}


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| | px | fp32 ms | `fast`: smaller, faster | `all`: smaller, faster |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in found["networks"].items():
        plain = one["fp32"]
        ways = [
            f"{plain['bytes'] / one[how]['bytes']:.2f}x, {plain['ms'] / one[how]['ms']:.2f}x" for how in (FAST, ALL)
        ]
        lines.append(f"| {name} | {one['input']} | {plain['ms']:.3g} | {ways[0]} | {ways[1]} |")
    return "\n".join(
        [
            "**8-bit integers by family**, weights as drawn, one image per call in onnxruntime, timed in turns on "
            f"{found['machine']['cpu']}, one thread. `{found['command']}`",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    main()
