"""Both generators of a CycleGAN, compressed or searched in several ways, over several seeds: quality, cycle, size.

    python -m benchmarks.unpaired townhouses-co_evolution
    python -m benchmarks.unpaired townhouses-co_evolution --seeds 1   (in another process, at the same time)
    python -m benchmarks.unpaired townhouses-cyclegan_nas --night 100   (a quarter as many pictures by night as by day)
    python -m benchmarks.unpaired benchmarks/townhouses-32-cyclegan_nas.yaml   (one seed takes six minutes of one core)
    python -m benchmarks.unpaired benchmarks/flowers-32-cyclegan_nas.yaml --data PATH/flowers --seeds 0 1

Each way is a run of the recipe with its own settings; runs with one seed share the original. CycleGANAS's ways also
share two rivals, which are trained once with a seed: the plain CycleGAN (`narrowed`) and its operations in the cells
(`by_hand`), of the first way's size. For townhouses the true partner of each test picture is known; it is only used
here. Runs can be resumed, so a stopped benchmark continues, and several processes may run seeds (`--only-run`) before
one call collects them. The results are written to benchmarks/results/ after every seed.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.data.batches import Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute, choose
from slimgen.methods.checks import BY_HAND, NARROWED
from slimgen.methods.method import REVERSE
from slimgen.metrics.evaluator import Evaluator
from slimgen.metrics.registry import find
from slimgen.nets import generator_cost
from slimgen.report.paired import Difference
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
SHARED = {"cyclegan_nas": (NARROWED, BY_HAND)}
"""Each method's rivals that the first way's run trains for all ways: they are of equal size in all."""
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
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run other seeds")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(arguments.settings)
    ways = WAYS[base.method]
    if arguments.ways and base.method in (*SIZED, *SHARED) and next(iter(ways)) not in arguments.ways:
        parser.error(f"--ways must include {next(iter(ways))!r}, whose size is the limit of the others")
    data = arguments.data or drawn(base, arguments)
    runs: list[dict[str, Any]] = []
    for number, seed in enumerate(arguments.seeds, 1):
        runs += of_seed(base.override([f"seed={seed}"]), data, arguments)
        if arguments.only_run:
            continue
        about = {"recipe": base.name, "night": arguments.night, "settings": arguments.settings}
        found = {"generators": summary(runs), "differences": differences(runs, SHARED.get(base.method, ()))}
        save(f"unpaired-{base.name}", {**about, "seeds": arguments.seeds[:number], "runs": runs, **found})
        print("\n".join([*lines(found["generators"]), *gains(found["differences"])]), flush=True)


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
    shared = list(SHARED.get(base.method, ()))
    for way, settings in WAYS[base.method].items():
        if arguments.ways and way not in arguments.ways:
            continue
        out = arguments.out / f"{base.name}-{way.replace(' ', '_')}-{base.seed}"
        rivals = [f"finetune.rivals={[] if found else shared}"] if shared else []
        stages.run(
            base.override([*settings, *limit, *rivals]), data=data, out=out, until="finetune"
        )  # latencies take longer than all else
        of_way = measured(base, way, out)
        found += of_way if not found else [line for line in of_way if not line["way"].startswith("original")]
        if base.method in SIZED and not limit:
            # Rounding favours the rivals: both of their generators may be as large as the larger one of the first way.
            limit = [f"budget.params={max(line['params'] for line in of_way if line['way'] == way)}"]
    return found


def measured(base: recipe.Recipe, way: str, out: Path) -> list[dict[str, Any]]:
    """Return the generators of one run with quality, cycle error and cost."""
    generators = described(base, out / "finetune", out / "teach")
    sides = whole(Prepared.open(out / "prepare").split("test"))
    seconds = {stage: read_record(out / stage)["seconds"] for stage in STAGES if (out / stage / "stage.json").is_file()}
    found = []
    compute = choose(base.compute.precision, base.compute.device, base.compute.threads)
    judges = {
        "forward": evaluator(base, Pair(sides.input, sides.target), compute),
        "reverse": evaluator(base, Pair(sides.target, sides.input), compute),
    }
    for name in (name for name in generators if name + REVERSE in generators):
        folder = out / ("teach" if name == "original" else "finetune")
        pair = [built(generators[each], folder / generators[each]["file"]) for each in (name, name + REVERSE)]
        alone = name == "original" or name in SHARED.get(base.method, ())
        called = name if alone else way if name == "found" else f"{way}: {name}"
        for each, label, first, second, images in (
            (name, "forward", *pair, sides.input),
            (name + REVERSE, "reverse", *reversed(pair), sides.target),
        ):
            cost = generator_cost(generators[each]["family"], *base.size, **generators[each]["options"])
            found.append(
                {
                    "way": called,
                    "direction": label,
                    "seed": base.seed,
                    "quality": judges[label].measure(compute.place(first)),
                    "cycle": cycle_error(first, second, images),
                    "params": cost.params,
                    "macs": cost.exact,
                    "updates": generators[each]["updates"],
                    "seconds": seconds,
                }
            )
    return found


def evaluator(base: recipe.Recipe, images: Pair, compute: Compute) -> Evaluator:
    """Return an evaluation by the recipe's metrics, as the stage `evaluate` makes it."""
    return Evaluator(images, base.evaluate.metrics, compute=compute, features=base.evaluate.features)


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


def differences(runs: Sequence[Mapping[str, Any]], rivals: Sequence[str]) -> list[dict[str, Any]]:
    """Return the gain of every way over each shared rival, by metric and direction, paired seed by seed."""
    found: list[dict[str, Any]] = []
    lines = {(run["way"], run["direction"], run["seed"]): run["quality"] for run in runs}
    for rival in rivals:
        for way, direction in dict.fromkeys((run["way"], run["direction"]) for run in runs if run["way"] != rival):
            seeds = [seed for one, other, seed in lines if (one, other) == (way, direction)]
            for metric in lines[way, direction, seeds[0]]:
                sign = 1 if find(metric).goal == "max" else -1
                pairs = [(lines[way, direction, seed], lines[rival, direction, seed]) for seed in seeds]
                each = Difference.of(rival, metric, [sign * (own[metric] - other[metric]) for own, other in pairs])
                found.append({"way": way, "direction": direction, **each.facts})
    return found


def gains(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paired differences as a Markdown table: of each way over each rival, with p in brackets."""
    if not found:
        return []
    columns = list(dict.fromkeys((each["rival"], each["metric"]) for each in found))
    heads = [f"{metric} over {rival} (p)" for rival, metric in columns]
    text = ["", f"| generator | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for row in dict.fromkeys((each["way"], each["direction"]) for each in found):
        of = {(each["rival"], each["metric"]): each for each in found if (each["way"], each["direction"]) == row}
        cells = [f"{of[c]['mean']:+.3f} ({of[c]['p']:.2f})" if c in of else "" for c in columns]
        text.append(f"| {', '.join(row)} | {' | '.join(cells)} |")
    return text


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
