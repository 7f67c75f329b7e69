"""What AlphaGAN's logits learn from: pictures beyond the hinge, and whether independent batches agree.

    python -m benchmarks.hinge
    python -m benchmarks.hinge --sets cifar10 --cifar10 PATH/cifar10
    python -m benchmarks.hinge --try "supernet.gap=hinge supernet.bar_rate=1e-3 supernet.bar_steps=10"

The search of the small recipe is run on drawn houses or on CIFAR-10's pictures, in the recipe's setting, in that of the
paper's loss with the weights' rate for the bars, and in those of `--try`. For each, the share of
generated pictures that D-bar scores below -1, and the cosine between gradients of consecutive batches of an iteration
(see `slimgen.methods.alphagan.gradients`), at every step of the logits. It takes minutes for each.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.files import log_file
from slimgen.methods.alphagan.gradients import NAME
from slimgen.recipe import Recipe
from slimgen.run.log import Log

RECIPE = "townhouses-alphagan"
PAPERS = ["supernet.gap=hinge", "supernet.bar_rate=null", "supernet.bar_steps=10", "supernet.warm_up=0"]
"""The paper's loss, the weights' rate for the bars, and no warm-up."""
UNMEASURED = ["teach.updates=1"]
"""The search needs no original, and measures nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, default=Path("weights/resnet20.pt"))
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/hinge"))
    parser.add_argument("--iterations", type=int, help="of each search; those of the recipe if not given")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--try", action="append", default=[], dest="tried", help="further settings, space between")
    parser.add_argument("--only-tried", action="store_true")
    parser.add_argument("--sets", nargs="+", choices=("townhouses", "cifar10"), default=["townhouses"])
    arguments = parser.parse_args()
    settings = [] if arguments.only_tried else [[], PAPERS]
    settings += [text.split() for text in arguments.tried]
    for data in arguments.sets:
        found: list[dict[str, Any]] = []
        for setting in settings:
            for seed in range(arguments.seeds):
                lines = measured(arguments, data, setting, seed)
                row = {"data": data, "settings": setting, "seed": seed, **summary(lines)}
                name = f"{data} {' '.join(setting) or 'the recipe'} seed {seed}"
                found.append(row)
                about = {"command": command(arguments, data), "recipe": RECIPE, "iterations": arguments.iterations}
                save(f"hinge-{data}", {**about, "rows": found})
                print(name, json.dumps({key: row[key] for key in row if key != "settings"}), flush=True)


def command(arguments: argparse.Namespace, data: str) -> str:
    """Return the command that repeats one set's figures, with the usual places of images and weights."""
    given = ["--sets cifar10 --cifar10 runs/cifar10"] if data == "cifar10" else []
    given += [f"--iterations {arguments.iterations}"] if arguments.iterations else []
    given += ["--only-tried"] if arguments.only_tried else []
    given += [f'--try "{text}"' for text in arguments.tried]
    return " ".join(["python -m benchmarks.hinge", *given])


def measured(arguments: argparse.Namespace, data: str, setting: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Search in one setting, and return the lines of the log of the logits' steps."""
    shorter = [f"supernet.iterations={arguments.iterations}"] if arguments.iterations else []
    network = f"evaluate.features.resnet20.path={arguments.network}"
    base = recipe.load(RECIPE).override([*UNMEASURED, network, f"seed={seed}"])
    images = None
    if data == "cifar10":
        base, images = Recipe.parse(_without_houses(base)), arguments.cifar10
    shared = arguments.out / f"{data}-{seed}"
    stages.run(base, data=images, out=shared, until="teach")
    chosen = base.override([*shorter, *setting])
    inputs = {stage: shared / stage for stage in ("prepare", "teach")}
    out = arguments.out / f"{data}-{seed}-{'-'.join([*shorter, *setting]).replace('supernet.', '')}" / "supernet"
    stages.supernet(chosen, **inputs, out=out)
    return Log(out / log_file(NAME)).read()


def _without_houses(base: Recipe) -> str:
    """Return a recipe for pictures from a folder, named for its file, of which half are held out as in the paper."""
    changed = base.override(["data.embedded=null", "data.validation=2000", "name=cifar10-small"])
    return changed.to_yaml()


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Summarise a search: its shares beyond the hinge, its cosines, and the norms of its gradients."""
    shares = [float(line["beyond"]) for line in lines]
    cosines = [float(line["cosine"]) for line in lines if "cosine" in line]
    norms = [float(line["gradient"]) for line in lines]
    firsts = [float(line["beyond"]) for line in lines if "cosine" not in line]
    return {
        "steps": len(lines),
        "largest_share": max(shares),
        "mean_share": mean(shares),
        "largest_share_at_a_first_step": max(firsts),
        "mean_cosine": mean(cosines) if cosines else 0.0,
        "least_cosine": min(cosines) if cosines else 0.0,
        "mean_norm": mean(norms),
    }


def paragraph(found: Mapping[str, Any]) -> str:
    """Return the paragraph on what the logits learn from in each setting."""
    heads = ["setting", "largest share", "mean share", "mean cosine", "least cosine", "mean norm"]
    rows = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row in found["rows"]:
        setting = ", ".join(row["settings"]) or "the recipe's"
        shares = (f"{row[key]:.0%}" for key in ("largest_share", "mean_share"))
        others = (f"{row[key]:.2f}" for key in ("mean_cosine", "least_cosine", "mean_norm"))
        rows.append(f"| {' | '.join([setting, *shares, *others])} |")
    first = found["rows"][0]
    return "\n".join(
        [
            f"**What AlphaGAN's logits learn from**, {found['recipe']} on {first['data']}, {first['steps']} steps of "
            "the logits: the share of generated pictures that D-bar scores below -1, the cosine between gradients of "
            f"consecutive batches, and the gradient's norm. `{found['command']}`",
            "",
            *rows,
        ]
    )


if __name__ == "__main__":
    main()
