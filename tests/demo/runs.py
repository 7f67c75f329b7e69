"""Runs of every kind of input, made by the real stages up to `finetune` from tiny networks that hardly train.

Their exports are made by the real functions, too, without the measurements of the stage, which would take most of the
time.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from torch import nn

from slimgen import files, stages
from slimgen.export.onnx import export_onnx
from slimgen.export.tiling import tiling
from slimgen.recipe import Recipe
from slimgen.run.folder import StageFolder
from slimgen.run.record import read_record
from slimgen.stages.generators import built, described, is_original
from slimgen.tasks import suited
from tests.quiet import quiet
from townhouses import write

TRAIN = {"updates": 1, "batch": 2}
COMMON = {
    "method": "tests.demo.untrained",
    "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
    "finetune": {"updates": 0, "batch": 2},
    "evaluate": {"latency_runs": 1, "pictures": 2},
}
RESNET = {"family": "resnet", "ngf": 8, "blocks": 1}
PATCHES = {"family": "patchgan", "ndf": 4, "layers": 1}
KINDS = {
    "drawings": {
        "task": "paired",
        "size": 32,
        "data": {"direction": "BtoA", "validation": 2},
        "losses": {"recon": 10},
        "teach": {"generator": RESNET, "discriminator": PATCHES, **TRAIN},
    },
    "photographs": {
        "task": "unpaired",
        "size": 16,
        "data": {"direction": "AtoB", "validation": 2},
        "losses": {"recon": 10},
        "teach": {"generator": RESNET, "discriminator": PATCHES, **TRAIN},
    },
    "labels": {
        "task": "labels",
        "export": {"dynamic": False},
        "size": [32, 32],
        "data": {"classes": 40, "validation": 2, "instances": True},
        "losses": {"gan": "hinge", "recon": 0, "feature": 10},
        "teach": {
            "generator": {"family": "spade", "inputs": 41, "ngf": 4, "doublings": 5},
            "discriminator": {"family": "multiscale", "ndf": 4, "layers": 2},
            **TRAIN,
        },
    },
    "upscale": {
        "task": "upscale",
        "size": 8,
        "data": {"scale": 2, "validation": 2},
        "losses": {"recon": 10},
        "teach": {
            "generator": {"family": "srresnet", "channels": 8, "blocks": 1, "scale": 2},
            "discriminator": PATCHES,
            **TRAIN,
        },
    },
    "noise": {
        "task": "unconditional",
        "evaluate": {"metrics": [], "latency_runs": 1},
        "size": 16,
        "data": {"validation": 2, "flip": False},
        "teach": {
            "generator": {"family": "sngan", "channels": 4, "latent": 6, "size": 16},
            "discriminator": {"family": "sngan", "channels": 4},
            **TRAIN,
        },
    },
}
LAYOUTS = {
    "drawings": "paired",
    "photographs": "unpaired",
    "labels": "labels",
    "upscale": "upscaling",
    "noise": "images",
}


class Calibration(CalibrationDataReader):
    """Random inputs of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.rows = iter([{"input": rng.uniform(-1, 1, shape).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.rows, None)


def finished_run(kind: str, home: Path) -> Path:
    """A run in a folder, with stages up to `finetune`, and the export of its found generators, int8 among them."""
    images, run = home / f"{kind}-images", home / kind
    write(images, seed=0, train=6, test=2, size=32, layout=LAYOUTS[kind])
    if kind == "labels":  # every area of a class is one object
        for split in ("train", "test"):
            shutil.copytree(images / f"{split}_label", images / f"{split}_inst")
    recipe = Recipe.parse(json.dumps({"name": f"tiny-{kind}", **COMMON, **KINDS[kind]}))
    stages.run(recipe, data=images, out=run, until="finetune", progress=quiet)
    recipe = suited(recipe, {"prepare": run / "prepare"})
    out = run / "export"
    about = {"recipe": recipe.to_yaml(), "label": {"name": f"tiny-{kind}", "licence": None}}
    about["inputs"] = {"finetune": read_record(run / "finetune")["digest"]}
    folder = StageFolder(out, "export", "0" * 64).begin(about)
    for name, plan in described(recipe, run / "finetune").items():
        if not is_original(name):
            export(recipe, name, built(plan, run / "finetune" / plan["file"]), out)
    folder.finish({"seconds": 0.0})
    return run


def export(recipe: Recipe, name: str, net: nn.Module, out: Path) -> None:
    """Write one generator in float32 and in int8, and the facts of its card that a page reads."""
    suffix = files.REVERSE if name.endswith(files.REVERSE) else ""
    generator, (height, width) = recipe.teach.generator, recipe.size
    latent, channels = generator.get("latent"), int(generator.get("inputs", 3))
    made = export_onnx(
        net,
        out / files.of_direction(files.ONNX, suffix),
        height=height,
        width=width,
        channels=channels,
        latent=latent,
        rewrite=False,
        dynamic=recipe.export.dynamic,
    )
    small = out / files.of_direction("generator_int8.onnx", suffix)
    shape = (1, channels, height, width) if latent is None else (1, latent)
    quantize_static(made.path, small, Calibration(shape), quant_format=QuantFormat.QDQ)
    scale = recipe.data.scale
    direction = {"": "AtoB", files.REVERSE: "BtoA"}[suffix]
    variants = [
        {"name": "fp32", "file": made.path.name, "quality": {"psnr": 12.0}},
        {"name": "int8", "file": small.name, "quality": {"psnr": 11.9}, "recommended": True},
    ]
    card = {
        "onnx": {**asdict(made), "path": made.path.name},
        "row": name,
        "data": {"direction": direction},
        "cost": {"params": sum(part.numel() for part in net.parameters())},
        "tiles": asdict(tiling(made, scale)) if scale > 1 else None,
        "variants": variants,
    }
    files.write_json(out / files.of_direction("card.json", suffix), card)
