"""Both generators of a CycleGAN, compressed or searched in several ways, over several seeds: quality, cycle, size.

    python -m benchmarks.unpaired townhouses-co_evolution
    python -m benchmarks.unpaired townhouses-co_evolution --seeds 1   (in another process, at the same time)
    python -m benchmarks.unpaired townhouses-cyclegan_nas --night 100   (a quarter as many pictures by night as by day)

Each way is a run of the recipe with its own settings; runs with one seed share the original. For townhouses the true
partner of each test picture is known; it is only used here. Runs can be resumed, so a stopped benchmark continues, and
several processes may run seeds before one call collects them. The results are written to benchmarks/results/.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.methods.method import REVERSE
from slimgen.run.record import read_record
from slimgen.stages.generators import built, described
from slimgen.stages.table import STAGES
from slimgen.tasks import traits_of
from slimgen.tasks.embedded import TEST, TRAIN
from slimgen.tasks.embedded import drawn as embedded
from townhouses import write

WAYS: dict[str, dict[str, list[str]]] = {
    "co_evolution": {
        "co-evolved": [],
        "each alone": ["search.together=false"],
        "by magnitude": ["search.kind=magnitude"],
    },
    "cyclegan_nas": {
        **{way: [f"supernet.optimisation={way}"] for way in ("OF", "TF", "TH", "THS")},
        "OF, its discriminators": ["search.discriminators=found", "search.discriminator_hidden=32"],
        "random": ["search.kind=random"],
    },
}
"""Each method's ways with their settings in the recipe. The size of the first way's result limits the others'."""
SIZED = ("co_evolution",)
"""Methods whose ways all get the size of the first way's result as their limit."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("--data", type=Path, help="the images; the townhouses by default")
    parser.add_argument("--night", type=int, help="number of townhouses by night; as many as by day by default")
    parser.add_argument("--out", type=Path, default=Path("runs/unpaired"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", help="only these")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(arguments.settings)
    ways = WAYS[base.method]
    if arguments.ways and base.method in SIZED and next(iter(ways)) not in arguments.ways:
        parser.error(f"--ways must include {next(iter(ways))!r}, whose size is the limit of the others")
    data = arguments.data or drawn(base, arguments)
    runs = [line for seed in arguments.seeds for line in of_seed(base.override([f"seed={seed}"]), data, arguments)]
    values = {
        "recipe": base.name,
        "night": arguments.night,
        "settings": arguments.settings,
        "seeds": arguments.seeds,
        "runs": runs,
    }
    save(f"unpaired-{base.name}", {**values, "generators": summary(runs)})
    print("\n".join(lines(summary(runs))))


def drawn(base: recipe.Recipe, arguments: argparse.Namespace) -> Path:
    """Write the townhouses by day and by night."""
    if arguments.night is None:
        return embedded(traits_of(base).embedded, base.size.height, arguments.out, print)
    folder: Path = arguments.out / f"townhouses-{base.size.height}-{arguments.night}"
    if not folder.is_dir():
        write(folder, seed=0, train=TRAIN, test=TEST, size=base.size.height, layout="unpaired", night=arguments.night)
    return folder


def of_seed(base: recipe.Recipe, data: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every way with one seed; return a line for each generator, with the original only once."""
    found: list[dict[str, Any]] = []
    limit: list[str] = []
    for way, settings in WAYS[base.method].items():
        if arguments.ways and way not in arguments.ways:
            continue
        out = arguments.out / f"{base.name}-{way.replace(' ', '_')}-{base.seed}"
        stages.run(base.override([*settings, *limit]), data=data, out=out)
        of_way = measured(base, way, out)
        found += of_way if not found else [line for line in of_way if not line["way"].startswith("original")]
        if base.method in SIZED and not limit:
            # Rounding favours the rivals: both of their generators may be as large as the larger one of the first way.
            limit = [f"budget.params={max(line['params'] for line in of_way if line['way'] == way)}"]
    return found


def measured(base: recipe.Recipe, way: str, out: Path) -> list[dict[str, Any]]:
    """Return the generators of one run: quality and cost from its table, and the cycle error, measured here."""
    table = {row["name"]: row for row in json.loads((out / "evaluate" / "table.json").read_text())["rows"]}
    generators = described(base, out / "finetune", out / "teach")
    sides = whole(Prepared.open(out / "prepare").split("test"))
    seconds = {stage: read_record(out / stage)["seconds"] for stage in STAGES}
    found = []
    for name in (name for name in generators if name + REVERSE in generators):
        folder = out / ("teach" if name == "original" else "finetune")
        pair = [built(generators[each], folder / generators[each]["file"]) for each in (name, name + REVERSE)]
        called = name if name == "original" else way if name == "found" else f"{way}: {name}"
        for each, label, first, second, images in (
            (name, "forward", *pair, sides.input),
            (name + REVERSE, "reverse", *reversed(pair), sides.target),
        ):
            row = table[each]
            found.append(
                {
                    "way": called,
                    "direction": label,
                    "seed": base.seed,
                    "quality": row["metrics"],
                    "cycle": cycle_error(first, second, images),
                    "params": row["params"],
                    "macs": row["macs"]["exact"],
                    "updates": row["updates"],
                    "seconds": seconds,
                }
            )
    return found


@torch.inference_mode()
def cycle_error(first: nn.Module, second: nn.Module, images: Tensor) -> float:
    """Return the mean absolute difference of images in [-1, 1] and their reconstructions (CycleGAN's cycle loss)."""
    losses = [(second(first(part)) - part).abs().double().sum() for part in torch.split(images, 10)]
    return float(torch.stack(losses).sum()) / images.numel()


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return mean and standard deviation over the seeds, for each way and direction."""
    found: dict[str, dict[str, Any]] = {}
    for way, direction in dict.fromkeys((run["way"], run["direction"]) for run in runs):
        these = [run for run in runs if (run["way"], run["direction"]) == (way, direction)]
        figures = {metric: [run["quality"][metric] for run in these] for metric in these[0]["quality"]}
        figures["cycle"] = [run["cycle"] for run in these]
        found[f"{way}, {direction}"] = {
            "quality": {
                name: {"values": values, "mean": mean(values), "deviation": stdev(values) if values[1:] else 0.0}
                for name, values in figures.items()
            },
            "params": [run["params"] for run in these],
            "macs": [run["macs"] for run in these],
        }
    return found


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the summary as a Markdown table."""
    names = list(next(iter(found.values()))["quality"])
    text = [f"| generator | {' | '.join(names)} | k params | MMACs (exact) |", "| --- " * (len(names) + 3) + "|"]
    for name, row in found.items():
        cells = [
            f"{value['mean']:.3f}" + (f" ± {value['deviation']:.3f}" if value["values"][1:] else "")
            for value in row["quality"].values()
        ]
        sizes = f"{mean(row['params']) / 1e3:.0f} | {mean(row['macs']) / 1e6:.1f}"
        text.append(f"| {name} | {' | '.join(cells)} | {sizes} |")
    return text


if __name__ == "__main__":
    main()
