"""What the converters make of each family's generators: whether they pass, agree with PyTorch, and how fast they are.

    taskset -c 1 python -m benchmarks.converters [--to litert ncnn ...] [--runs 50]

Weights are drawn, as those of a training's start; a run's own generator is converted and measured in the same way by
`slimgen convert`. Differences are given as a share of the output's largest value. Each variant takes turns with the
graph for phones in onnxruntime, on one thread. Before that, the graph for phones takes turns in onnxruntime with the
one that `export` writes for a CPU, of the same fixed shape. Converters run in the environments that `slimgen convert`
makes.
`--only NETWORK ...` measures some networks again, and keeps the other figures of the file.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch

from benchmarks.results import RESULTS, save
from slimgen.cost.latency import latencies_in_turns, onnx_timed
from slimgen.errors import ExportError
from slimgen.export.converting import TARGETS, convert, ready
from slimgen.export.onnx import export_fixed
from slimgen.export.rewriting.phones import for_phones
from slimgen.export.usability import verdicts
from slimgen.nets import build_generator
from slimgen.nets.cf_gan.space import Shape, trellis_space
from slimgen.nets.cf_gan.upscale_space import UpscaleShape
from slimgen.nets.cyclegan_nas.space import GeneratorShape, space_of

SEED, SAMPLES, THREADS = 0, 4, 1
TRELLIS, UPSCALING = Shape(16, 3, 2), UpscaleShape(16, 2, 2, scale=4)
CELLS = GeneratorShape(hidden=16, cells=4)
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any], tuple[int, ...]]] = {
    "ResNet": ("resnet", {"ngf": 16, "blocks": 6}, (3, 128, 128)),
    "mobile ResNet": ("mobile_resnet", {"ngf": 24, "blocks": 6}, (3, 128, 128)),
    "U-Net": ("unet", {"ngf": 16, "depth": 7}, (3, 128, 128)),
    "trellis": (
        "trellis",
        {"ngf": 16, "groups": 3, "blocks": 2, "genotype": trellis_space(TRELLIS).sample(random.Random(1))},
        (3, 128, 128),
    ),
    "upscale trellis, x4": (
        "upscale_trellis",
        {
            "ngf": 16,
            "groups": 2,
            "blocks": 2,
            "scale": 4,
            "genotype": trellis_space(UPSCALING).sample(random.Random(1)),
        },
        (3, 64, 64),
    ),
    "SRResNet, x4": ("srresnet", {"channels": 24, "blocks": 4, "scale": 4}, (3, 64, 64)),
    "RRDBNet, x4": ("rrdbnet", {"channels": 16, "blocks": 2, "scale": 4}, (3, 64, 64)),
    "SRVGGNetCompact, x4": ("srvgg", {"channels": 24, "blocks": 8, "scale": 4}, (3, 64, 64)),
    "SPADE": ("spade", {"ngf": 8, "doublings": 5, "inputs": 12}, (12, 128, 128)),
    "mobile SPADE": ("mobile_spade", {"ngf": 8, "doublings": 5, "inputs": 12}, (12, 128, 128)),
    "cells of CycleGANAS": (
        "cyclegan_nas",
        {"hidden": 16, "cells": 4, "spectral": False, "genotype": space_of(CELLS).sample(random.Random(0))},
        (3, 128, 128),
    ),
    "cells of AlphaGAN": ("alphagan_s", {"channels": 64, "latent": 128}, (128,)),
}
"""Name to family, options, and shape of one input."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--runs", type=int, default=50, help="timed calls of each variant")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, help="networks to measure again")
    options = parser.parse_args()
    if options.only:  # the file names the command that repeats all of it
        at = sys.argv.index("--only")
        del sys.argv[at : at + 1 + len(options.only)]
    pythons = {name: ready(TARGETS[name], None, print) for name in options.to}
    file = RESULTS / "converters.json"
    found: dict[str, Any] = json.loads(file.read_text())["networks"] if options.only else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or NETWORKS:
            family, settings, shape = NETWORKS[name]
            found[name] = measured(family, settings, shape, pythons, options.runs, Path(folder))
            print(name, found[name], flush=True)
    packages = {name: [*TARGETS[name].packages, *TARGETS[name].alone] for name in pythons}
    save("converters", {"threads": THREADS, "networks": found, "packages": packages})


def measured(
    family: str,
    settings: Mapping[str, Any],
    shape: tuple[int, ...],
    pythons: Mapping[str, Path],
    runs: int,
    folder: Path,
) -> dict[str, Any]:
    """Return the figures of one network: nodes and times of both graphs, and each conversion, or why there is none."""
    net = build_generator(family, seed=SEED, **settings).eval()
    inputs = torch.rand(SAMPLES, *shape, generator=torch.Generator().manual_seed(SEED)) * 2 - 1
    with torch.inference_mode():
        outputs = torch.cat([net(part) for part in torch.split(inputs, 1)])
    plain = export_fixed(net, (1, *shape), rewrite=False)
    edge = folder / "edge.onnx"
    edge.write_bytes(for_phones(onnx.load_from_string(plain)).SerializeToString(deterministic=True))
    graphs = {"CPU": export_fixed(net, (1, *shape)), "phones": edge.read_bytes()}
    timed = {name: onnx_timed(content, (1, *shape), THREADS) for name, content in graphs.items()}
    times = latencies_in_turns(timed, threads=THREADS, runs=runs)
    verdict = verdicts(edge)["CoreML"]
    found: dict[str, Any] = {
        "shape": [1, *shape],
        "largest": float(outputs.abs().max()),
        "nodes": {"as torch writes it": len(onnx.load_from_string(plain).graph.node), "phones": verdict.nodes},
        "p50_ms": {name: time.p50_ms for name, time in times.items()},
        "coreml": asdict(verdict),
        "converted": {},
    }
    for name, python in pythons.items():
        target = TARGETS[name]
        try:
            made = convert(
                target,
                python,
                folder / name,
                graph=edge.read_bytes(),
                inputs=inputs.numpy(),
                outputs=outputs.numpy(),
                calibration=[inputs[:1].numpy(), inputs[1:2].numpy()] if target.calibrates else [],
                stem="generator",
                tolerance=1e-3,
                threads=THREADS,
                runs=runs,
            )
            found["converted"][name] = {variant.name: asdict(variant) for variant in made.variants}
        except ExportError as error:
            found["converted"][name] = {"refused": str(error)}
    return found


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the results as a paragraph and a table."""
    from benchmarks.readme import machine

    columns = [("litert", "fp32"), ("ncnn", "fp32"), ("executorch", "fp32"), ("openvino", "fp32"), ("openvino", "int8")]
    titles = [f"{TARGETS[name].title}{'' if variant == 'fp32' else f' {variant}'}" for name, variant in columns]
    rows = [
        f"| | input | nodes, and for phones | ms for a CPU, and for phones | {' | '.join(titles)} | CoreML |",
        f"| --- | --- | --- | --- |{' --- |' * (len(columns) + 1)}",
    ]
    for name, one in found["networks"].items():
        nodes, times = one["nodes"], one["p50_ms"]
        cells = [
            name,
            " x ".join(map(str, one["shape"][1:])),
            f"{nodes['as torch writes it']}, {nodes['phones']}",
            f"{times['CPU']:.3g}, {times['phones']:.3g}",
            *(cell(one["converted"].get(target, {}), variant, one["largest"]) for target, variant in columns),
            apple(one),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    about = (
        f"**Converters**: drawn weights, one image per call, {found['threads']} thread. For each runtime: largest "
        "difference from PyTorch as a share of the largest output, and its milliseconds divided by onnxruntime's, "
        "which ran the same graph in turns with it. CoreML: whether the conversion, which only Apple's systems can "
        "run, passes, and what onnxruntime's tool says of the graph for phones. Measured on "
        f"{machine(found)}. `{found['command']}`"
    )
    return "\n".join([about, "", *rows])


def cell(variants: Mapping[str, Any], variant: str, largest: float) -> str:
    """Return agreement and relative time of one variant, or `no` where the conversion was refused."""
    if variant not in variants:
        return "no" if "refused" in variants else ""
    one = variants[variant]
    return f"{one['max_abs'] / largest:.0e}, {one['p50_ms'] / one['onnxruntime_p50_ms']:.2f}x"


def apple(one: Mapping[str, Any]) -> str:
    """Return whether CoreML's converter took the network, and the verdict on its graph."""
    variants, verdict = one["converted"].get("coreml", {}), one["coreml"]
    passes = "no" if "refused" in variants else "passes"
    return f"{passes}; {verdict['takes']}, {verdict['supported']} of {verdict['nodes']} nodes"


if __name__ == "__main__":
    main()
