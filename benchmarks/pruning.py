"""A published upscaler, pruned to half of its operations from its weights alone: by magnitude, greedily, by evolution.

The generator of https://github.com/leftthomas/SRGAN (examples/srgan.py) is pruned on squares cut from training
photographs, with its own outputs as targets and the same updates for each search, and measured on whole test pictures:
PSNR of the luma, the border of 4 pixels left out, and milliseconds in onnxruntime, in turns.

    python -m benchmarks.pruning --weights netG_epoch_4_100.pth --train T91 --test Set14/HR --out runs/pruned-srgan
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.results import save
from slimgen import stages
from slimgen.cost.count import count
from slimgen.export.turns import timings
from slimgen.metrics.psnr import psnr_y
from slimgen.recipe import Recipe
from slimgen.stages.generators import built, described
from slimgen.tasks.single import resized

SCALE, SIDE = 4, 24
KINDS = ("greedy", "evolution", "magnitude")


def recipe(weights: Path, kind: str, updates: int, evaluations: int) -> Recipe:
    """Return the recipe of one search."""
    search = {"kind": kind}
    if kind == "evolution":
        search |= {"population": 16, "evaluations": evaluations}
    return Recipe.from_values(
        {
            "name": f"srgan-{kind}",
            "task": "single",
            "method": "pruning",
            "size": SIDE,
            "data": {"scale": SCALE, "validation": 16, "test": 8},
            "budget": {"macs": "1/2"},
            "compute": {"device": "cpu", "precision": "fp32"},
            "losses": {"adversarial": 0, "recon": 10},
            "teach": {
                "generator": {"family": "examples.srgan:Srgan"},
                "generator_checkpoint": str(weights),
                "discriminator": {"family": "patchgan", "ndf": 8, "layers": 1},
                "updates": 1,
            },
            "supernet": {"images": 32},
            "search": search,
            "finetune": {"updates": updates, "batch": 8, "rate": 5.0e-4, "decay": 0.8},
            "evaluate": {"metrics": ["psnr_y"], "latency_runs": 4, "pictures": 2},
        }
    )


def squares(folder: Path, out: Path) -> None:
    """Cut the photographs of a folder into squares of the generator's outputs, once."""
    if out.is_dir():
        return
    begun = out.with_name(f"{out.name}.part")
    begun.mkdir(parents=True, exist_ok=True)
    side = SCALE * SIDE
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in (".png", ".bmp", ".jpg"):
            continue
        picture = Image.open(path).convert("RGB")
        for top in range(0, picture.height - side + 1, side):
            for left in range(0, picture.width - side + 1, side):
                name = f"{path.stem}-{top}-{left}.png"
                picture.crop((left, top, left + side, top + side)).save(begun / name)
    begun.rename(out)


def tests(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Return whole test pictures made smaller, and the pictures, (1, 3, H, W) in [-1, 1]."""
    found = []
    for path in sorted(folder.glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
        height, width = (side - side % SCALE for side in pixels.shape[:2])
        picture = torch.from_numpy(pixels[:height, :width] / 127.5 - 1).permute(2, 0, 1)[None]
        found.append((resized(picture, 1 / SCALE), picture))
    return found


@torch.inference_mode()
def decibels(net: nn.Module, pictures: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the mean PSNR of the luma over test pictures."""
    values = [float(psnr_y(net(small), picture, border=SCALE)[0]) for small, picture in pictures]
    return sum(values) / len(values)


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph and table of the measured figures."""
    original = found["rows"][0]
    updates = max(row["updates"] for row in found["rows"])
    head = (
        f"**SRGAN's generator pruned to half of its operations** from its weights alone, {updates} updates each on its "
        f"own outputs: PSNR-Y (dB) on {found['pictures']} whole pictures of Set14, milliseconds in onnxruntime at "
        f"64 x 64, one thread, in turns. One seed. `{found['command']}`"
    )
    rows = ["| generator | PSNR-Y ↑ | MACs | parameters | ms | speed | PSNR to the original before training |"]
    rows.append("| --- " * 7 + "|")
    for row in found["rows"]:
        before = f"{row['validation_psnr']:.1f}" if "validation_psnr" in row else ""
        speed = f"{original['ms'] / row['ms']:.2f}x"
        figures = f"{row['psnr_y']:.2f} | {row['macs'] / 1e9:.2f} G | {row['params']:,} | {row['ms']:.1f} | {speed}"
        rows.append(f"| {row['name']} | {figures} | {before} |")
    return "\n".join([head, "", *rows])


def main() -> None:
    """Prune by every kind, measure, and write the figures."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--weights", type=Path, required=True)
    given.add_argument("--train", type=Path, required=True, help="training photographs")
    given.add_argument("--test", type=Path, required=True, help="whole test pictures")
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("--updates", type=int, default=400)
    given.add_argument("--evaluations", type=int, default=160)
    options = given.parse_args()
    squares(options.train, options.out / "squares")
    pictures = tests(options.test)
    nets: dict[str, nn.Module] = {}
    facts: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        run, one = options.out / kind, recipe(options.weights, kind, options.updates, options.evaluations)
        stages.run(one, data=options.out / "squares", out=run, until="finetune")
        for name, about in described(one, run / "finetune").items():
            label = kind if name == "found" else name
            folder = run / ("teach" if name == "original" else "finetune")
            nets[label] = built(about, folder / about["file"])
        search = json.loads((run / "search" / "stage.json").read_text())["metrics"]
        facts[kind] = {"validation_distance": search["val_distance"], "validation_psnr": search["val_psnr"]}
    shape = (1, 3, 64, 64)
    timed = timings({name: (name, net) for name, net in nets.items()}, shape, threads=1, runs=20, opset=20)
    rows = []
    for name, net in nets.items():
        cost = count(net, torch.zeros(1, 3, 64, 64))
        rows.append(
            {
                "name": name,
                "psnr_y": decibels(net, pictures),
                "macs": cost.exact,
                "params": cost.params,
                "ms": timed[name].latency.p50_ms,
                "updates": 0 if name == "original" else options.updates,
                **facts.get(name, {}),
            }
        )
        print(rows[-1], flush=True)
    save("pruning-srgan", {"test": options.test.parent.name, "pictures": len(pictures), "rows": rows})


if __name__ == "__main__":
    main()
