r"""Upscalers of several runs in one table, beside bicubic interpolation: searched, narrowed, pruned, imported.

    python -m benchmarks.upscalers runs/fair/t91-24-halving-* runs/pruned-srgan/*-? --data runs/t91/prepare \
        --network weights/resnet20.pt

All are measured anew, alike, on the named test sets of one prepared data set: PSNR and SSIM of the luma with the border
left out; the Fréchet distance between the features of all squares of 32 pixels of what they make and of the pictures
(`fd`, by the network that examples/resnet20.py writes); MACs for an input of 256 x 256; milliseconds in onnxruntime at
64 x 64, one thread, in turns; and the effort of all trainings that led to them. Rows of one kind in several runs, such
as seeds, are averaged.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import slimgen
from benchmarks.results import save, spread
from slimgen.data.patches import whole_pictures
from slimgen.data.pictures import PicturePair, Pictures
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.export.turns import timings
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets import generator_cost
from slimgen.report.words import kind_of
from slimgen.stages.comparison import by_group, groups_within
from slimgen.stages.generators import described, is_original
from slimgen.tasks.tiles import in_tiles, mirrored
from slimgen.tasks.upscale import enlarged

SQUARE, SIDE, LARGE, TILE, OVERLAP = 32, 64, 256, 256, 16
METRICS = ("psnr_y", "ssim_y")
FEATURES = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def main() -> None:
    """Measure every generator of every run, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder of a run's stage prepare")
    parser.add_argument("--network", type=Path, required=True, help="the file that examples/resnet20.py writes")
    parser.add_argument("--name", default="upscalers-x4", help="name of the file of figures")
    given = parser.parse_args()
    split = Prepared.open(given.data).split("test")
    pictures = whole_pictures(split)
    groups = groups_within(split.groups, len(pictures.input))
    compute = choose("fp32", "cpu")
    evaluator = Evaluator(pictures, METRICS, compute=compute)
    rows: list[dict[str, Any]] = []
    bicubic = list(pictures.input.changed(lambda picture: enlarged(picture, split.scale), split.scale))
    rows.append({"kind": "bicubic", **quality(bicubic, pictures, groups, evaluator, given.network)})
    networks: dict[str, tuple[str, nn.Module]] = {}
    for folder in given.runs:
        opened = slimgen.open_run(folder)
        about = described(opened.recipe, folder / "finetune", folder / "teach")
        for name, one in about.items():
            kind, net = label(opened.recipe, name, one), opened.generator(name)
            if is_original(name) and imported(opened.recipe) and any(row["kind"] == kind for row in rows):
                continue  # the same file in every run
            with torch.inference_mode():
                made = [whole(net, picture, split.scale) for picture in pictures.input]
            cost = generator_cost(one["family"], LARGE, LARGE, **one["options"])
            effort = one.get("effort") if not (is_original(name) and imported(opened.recipe)) else None
            key = str(len(rows))
            networks[key] = json.dumps([one["family"], one["options"]], sort_keys=True, default=str), net
            figures = {"macs": cost.exact, "params": cost.params, "effort": effort, "key": key}
            rows.append({"kind": kind, **quality(made, pictures, groups, evaluator, given.network), **figures})
            print(
                kind,
                {name: round(value, 3) for name, value in rows[-1].items() if isinstance(value, float)},
                flush=True,
            )
    timed = timings(networks, (1, 3, SIDE, SIDE), threads=1, runs=20, opset=20)
    for row in rows:
        if (key := row.pop("key", None)) is not None:
            row["ms"] = timed[key].latency.p50_ms
    save(given.name, {"scale": split.scale, "sets": groups, "rows": rows})


def imported(recipe: slimgen.Recipe) -> bool:
    """Return whether the original was trained elsewhere."""
    return recipe.teach.generator_checkpoint is not None


def label(recipe: slimgen.Recipe, name: str, about: Mapping[str, Any]) -> str:
    """Return what the table calls a generator: the family of an original, or how the others were chosen."""
    family = str(recipe.teach.generator["family"]).rpartition(":")[2]
    if is_original(name):
        return f"{family}, imported" if imported(recipe) else f"{family}, trained"
    if name == "found":
        chosen = str(recipe.search.get("kind", "searched"))
        return f"{family} pruned: {chosen}" if recipe.method == "pruning" else f"{recipe.method}: {chosen}"
    return f"{family} pruned: {kind_of(name)}" if recipe.method == "pruning" else f"{kind_of(name)} ({about['family']})"


def whole(net: nn.Module, picture: Tensor, scale: int) -> Tensor:
    """Return a generator's enlargement of a picture, in tiles where it is large, as the task does."""
    shrinks = int(getattr(getattr(net, "options", None), "shrinks", 1))
    return in_tiles(mirrored(net, scale=scale, multiple=shrinks), picture, scale=scale, tile=TILE, overlap=OVERLAP)


def quality(
    made: Sequence[Tensor], pictures: PicturePair, groups: Mapping[str, int], evaluator: Evaluator, network: Path
) -> dict[str, float]:
    """Return the metrics over each named set of pictures, and the Fréchet distance of all their squares."""
    waiting = iter(made)
    found = by_group(evaluator.measured(lambda _: next(waiting)), groups)
    real, fake = squares(pictures.target), squares(made)
    features = {"resnet20": {"path": str(network), **FEATURES}}
    distance = Evaluator((fake, real), ["fd:resnet20"], compute=evaluator.compute, features=features)
    return {**found, **distance.measure(lambda images: images)}


def squares(pictures: Pictures | Sequence[Tensor]) -> Tensor:
    """Return all squares of pictures side by side, (N, 3, SQUARE, SQUARE); what is left over is not used."""
    found = []
    for picture in pictures:
        columns = functional.unfold(picture.float(), SQUARE, stride=SQUARE)
        found.append(columns.transpose(1, 2).reshape(-1, picture.shape[1], SQUARE, SQUARE))
    return torch.cat(found)


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph and table of the measured figures."""
    sets = list(found["sets"])
    rows: Sequence[Mapping[str, Any]] = found["rows"]
    most = max(sum(row["kind"] == one["kind"] for row in rows) for one in rows)
    head = (
        f"**Upscalers by {found['scale']} side by side**: PSNR-Y (dB) and SSIM-Y on whole pictures of "
        f"{' and '.join(sets)}, fd:resnet20 of their squares of {SQUARE} px, MACs for an input of {LARGE} x {LARGE}, "
        f"milliseconds in onnxruntime at {SIDE} x {SIDE}, one thread, in turns. Mean ± standard deviation over up to "
        f"{most} runs. `{found['command']}`"
    )
    heads = ["generator", *(f"PSNR-Y {name} ↑" for name in sets), *(f"SSIM-Y {name} ↑" for name in sets)]
    heads += ["fd ↓", "GMACs", "k params", "ms", "updates", "training TMACs"]
    text = [head, "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        each = [row for row in rows if row["kind"] == kind]
        cells = [kind, *(spread([row[f"psnr_y/{name}"] for row in each]) for name in sets)]
        cells += [*(spread([row[f"ssim_y/{name}"] for row in each], 3) for name in sets)]
        cells.append(spread([row["fd:resnet20"] for row in each]))
        if "macs" not in each[0]:
            cells += [""] * 5
        else:
            macs, params, ms = (mean(row[name] for row in each) for name in ("macs", "params", "ms"))
            cells += [f"{macs / 1e9:.2f}", f"{params / 1e3:.0f}", f"{ms:.1f}"]
            efforts = [row["effort"] for row in each if row["effort"]]
            cells.append(f"{mean(one['updates'] for one in efforts):.0f}" if efforts else "")
            cells.append(f"{mean(one['training_macs'] for one in efforts) / 1e12:.1f}" if efforts else "")
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)


if __name__ == "__main__":
    main()
