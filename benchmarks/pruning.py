"""Published generators pruned from their weights alone: greedily, by evolution, by magnitude, and at random.

Each is pruned on squares cut from training photographs, with its own outputs as targets, and every pruned generator is
then trained alike. Measured are whole test pictures: PSNR to the original's outputs, for an upscaler PSNR of the luma
to the picture itself too (the border left out), and milliseconds in onnxruntime, in turns.

* `srgan`: the upscaler of https://github.com/leftthomas/SRGAN (examples/srgan.py), to half of its operations;
* `style`: fast style transfer (examples/style.py, whose weights it converts), to a quarter.

    python -m benchmarks.pruning srgan --weights netG_epoch_4_100.pth --train T91 --test Set14/HR --out runs/srgan
    python -m benchmarks.pruning style --weights la_muse.safetensors --train BSDS200 --test Set14/HR --out runs/style

Runs can be resumed; several processes may divide the seeds (`--only-run`).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.results import save, spread
from slimgen import stages
from slimgen.cost.count import count
from slimgen.export.turns import timings
from slimgen.metrics.psnr import psnr, psnr_y
from slimgen.recipe import Recipe
from slimgen.report.words import kind_of
from slimgen.stages.generators import built, described
from slimgen.tasks.single import resized


class Subject(NamedTuple):
    """A published generator: its class, side of its inputs in pixels, factor of enlargement, and limit of MACs."""

    title: str
    family: str
    size: int
    scale: int
    macs: str
    multiple: int


SUBJECTS = {
    "srgan": Subject("SRGAN's generator pruned to half", "examples.srgan:Srgan", 24, 4, "1/2", 1),
    "style": Subject("A style-transfer generator pruned to a quarter", "examples.style:Style", 96, 1, "1/4", 4),
}
KINDS = ("greedy", "evolution")  # the second one's run has the rivals, which are trained as it is
ORIGINAL = "original"


def recipe(subject: Subject, kind: str, seed: int, given: argparse.Namespace) -> Recipe:
    """Return the recipe of one search."""
    search: dict[str, Any] = {"kind": kind}
    finetune = {"updates": given.updates, "batch": given.batch, "rate": given.rate, "decay": 0.8, "ema": 0.98}
    if kind == "evolution":
        search |= {"population": 16, "evaluations": given.evaluations}
        finetune |= {"rivals": ["magnitude", "random"], "random": 1}
    return Recipe.from_values(
        {
            "name": f"{given.subject}-{kind}",
            "task": "single",
            "method": "pruning",
            "size": subject.size,
            "seed": seed,
            "data": {"scale": subject.scale, "validation": 16, "test": 8},
            "budget": {"macs": subject.macs},
            "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
            "losses": {"adversarial": 0, "recon": 10},
            "teach": {
                "generator": {"family": subject.family},
                "generator_checkpoint": str(given.weights.resolve()),
                "discriminator": {"family": "patchgan", "ndf": 8, "layers": 1},
                "updates": 1,
            },
            "supernet": {"images": 32, **({"distill": given.distill} if given.distill else {})},
            "search": search,
            "finetune": finetune,
            "evaluate": {"metrics": ["psnr_y" if subject.scale > 1 else "psnr"], "latency_runs": 4, "pictures": 2},
        }
    )


def squares(folder: Path, out: Path, side: int) -> None:
    """Cut the photographs of a folder into squares of the generator's outputs, once."""
    if out.is_dir():
        return
    begun = out.with_name(f"{out.name}.part")
    begun.mkdir(parents=True, exist_ok=True)
    for path in photographs(folder):
        picture = Image.open(path).convert("RGB")
        for top in range(0, picture.height - side + 1, side):
            for left in range(0, picture.width - side + 1, side):
                name = f"{path.stem}-{top}-{left}.png"
                picture.crop((left, top, left + side, top + side)).save(begun / name)
    begun.rename(out)


def photographs(folder: Path) -> list[Path]:
    """Return the pictures in a folder, in order."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".bmp", ".jpg"))


def tests(folder: Path, subject: Subject) -> list[tuple[Tensor, Tensor]]:
    """Return what a generator is given of whole test pictures, and the pictures, (1, 3, H, W) in [-1, 1]."""
    found = []
    for path in photographs(folder):
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
        step = subject.scale * subject.multiple
        height, width = (side - side % step for side in pixels.shape[:2])
        picture = torch.from_numpy(pixels[:height, :width] / 127.5 - 1).permute(2, 0, 1)[None]
        found.append((resized(picture, 1 / subject.scale) if subject.scale > 1 else picture, picture))
    return found


@torch.inference_mode()
def quality(
    net: nn.Module, original: nn.Module, pictures: Sequence[tuple[Tensor, Tensor]], scale: int
) -> dict[str, float]:
    """Return the mean PSNR over test pictures: of RGB to the original's outputs, and of the luma to the pictures."""
    near, true = [], []
    for given, picture in pictures:
        made, wanted = net(given).clamp(-1, 1), original(given).clamp(-1, 1)
        near.append(float(psnr(made, wanted)[0]))
        true.append(float(psnr_y(made, picture, border=scale)[0]))
    found = {"psnr_y": mean(true)} if scale > 1 else {}
    return found if net is original else {"psnr_to_original": mean(near), **found}


def run(given: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Prune by every kind with one seed, and return a row for each generator."""
    subject = SUBJECTS[given.subject]
    nets: dict[str, nn.Module] = {}
    facts: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        out, one = given.out / f"{kind}-{seed}", recipe(subject, kind, seed, given)
        stages.run(one, data=given.out / "squares", out=out, until="finetune")
        search = json.loads((out / "search" / "stage.json").read_text())["metrics"]
        for name, about in described(one, out / "finetune").items():
            label = kind if name == "found" else name
            nets[label] = built(about, out / ("teach" if name == ORIGINAL else "finetune") / about["file"])
            facts.setdefault(label, {"updates": 0 if name == ORIGINAL else given.updates})
        facts[kind] |= {"before_training": search["val_psnr"]}
    if given.only_run:
        return []
    pictures = tests(given.test, subject)
    shape = (1, 3, 64 if subject.scale > 1 else 256, 64 if subject.scale > 1 else 256)
    timed = timings({name: (name, net) for name, net in nets.items()}, shape, threads=1, runs=20, opset=20)
    rows = []
    for name, net in nets.items():
        cost = count(net, torch.zeros(shape))
        good = quality(net, nets[ORIGINAL], pictures, subject.scale)
        figures = {"macs": cost.exact, "params": cost.params, "ms": timed[name].latency.p50_ms}
        rows.append({"name": name, "seed": seed, **good, **figures, **facts[name]})
        print(rows[-1], flush=True)
    draw(nets, pictures[: given.pictures], given.out / f"pictures-{seed}.png")
    return rows


@torch.inference_mode()
def draw(nets: Mapping[str, nn.Module], pictures: Sequence[tuple[Tensor, Tensor]], path: Path) -> None:
    """Write the middle of the first test pictures and of what each generator makes of them, a column for each."""
    rows = []
    for given, picture in pictures:
        shown = [picture, *(net(given).clamp(-1, 1) for net in nets.values())]
        top, left = ((side - 192) // 2 for side in picture.shape[-2:])
        rows.append(torch.cat([each[0, :, top : top + 192, left : left + 192] for each in shown], 2))
    levels = ((torch.cat(rows, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(levels).save(path)


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph and table of the measured figures."""
    rows, seeds = found["rows"], len(found["seeds"])
    names = list(dict.fromkeys(kind_of(row["name"]) for row in rows))
    imitated = f", with `supernet.distill` {found['distill']:g}" if found["distill"] else ""
    side = "64 x 64" if "psnr_y" in rows[0] else "256 x 256"
    head = (
        f"**{found['title']} of its operations** from its weights alone, {found['updates']} updates each on its own "
        f"outputs{imitated}: {found['pictures']} whole pictures of {found['test']}, milliseconds in onnxruntime at "
        f"{side}, one thread, in turns; mean and deviation over {seeds} seed{'s' * (seeds > 1)}. `{found['command']}`"
    )
    true = "psnr_y" in rows[0]
    heads = ["generator", *(["PSNR-Y ↑"] if true else []), "PSNR to the original ↑", "MACs", "parameters", "ms"]
    heads += ["speed", "PSNR to the original, untrained, on validation squares"]
    text = [head, "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    slowest = mean(row["ms"] for row in rows if row["name"] == ORIGINAL)
    for name in names:
        each = [row for row in rows if kind_of(row["name"]) == name]
        ms = mean(row["ms"] for row in each)
        near = "" if name == ORIGINAL else spread([row["psnr_to_original"] for row in each])
        cells = [name, *([spread([row["psnr_y"] for row in each])] if true else []), near]
        cells += [f"{mean(row['macs'] for row in each) / 1e9:.2f} G", f"{mean(row['params'] for row in each):,.0f}"]
        cells += [f"{ms:.1f}", f"{slowest / ms:.2f}x"]
        before = [row["before_training"] for row in each if "before_training" in row]
        text.append(f"| {' | '.join([*cells, spread(before) if before else ''])} |")
    return "\n".join(text)


def main() -> None:
    """Prune by every kind, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True, help="training photographs")
    parser.add_argument("--test", type=Path, required=True, help="whole test pictures")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=5.0e-4)
    parser.add_argument("--distill", type=float, default=0.0, help="weight of the imitation of each layer")
    parser.add_argument("--name", help="name of the file of figures; the subject's by default")
    parser.add_argument("--evaluations", type=int, default=160)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pictures", type=int, default=4, help="test pictures that are drawn")
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run other seeds")
    given = parser.parse_args()
    subject = SUBJECTS[given.subject]
    squares(given.train, given.out / "squares", subject.scale * subject.size)
    rows = [row for seed in given.seeds for row in run(given, seed)]
    if not given.only_run:
        about = {"title": subject.title, "updates": given.updates, "seeds": given.seeds, "distill": given.distill}
        about |= {"test": given.test.parent.name, "pictures": len(tests(given.test, subject))}
        save(f"pruning-{given.name or given.subject}", {**about, "rows": rows})


if __name__ == "__main__":
    main()
