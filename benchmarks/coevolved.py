"""What co-evolution is worth: found pairs of masks beside rankings and chance, after equal fine-tuning, over seeds.

    python -m benchmarks.coevolved --seeds 0 2 4 --only-run   (and 1 3 in another process, at the same time)
    python -m benchmarks.coevolved --seeds 0 1 2 3 4

The originals of a seed are trained once. Each way to choose the filters of both gets the same limit, starts from the
same weights and discriminators, and is fine-tuned with the same losses for the same numbers of updates: masks evolved
together, each direction alone (`search.together: false`), by magnitude, greedily (ThiNet), and at random (the mean of
three). The townhouses know the true partner of each test picture, which only this benchmark uses. A difference counts
at p < 0.05 in a paired t test over the seeds. The cycle error of the found pair after tuning is put beside that of
always returning the mean picture, and the best fitness of every generation is kept.

Finished stages are reused, so a stopped benchmark continues; figures are saved to benchmarks/results/ after each seed.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.results import save, spread
from benchmarks.unpaired import cycle_error
from slimgen import recipe, stages
from slimgen.data.batches import whole
from slimgen.data.prepared import Prepared
from slimgen.methods.co_evolution.fitness import FITNESS, SUM
from slimgen.methods.co_evolution.roulette import TURN, TURNS
from slimgen.methods.method import REVERSE
from slimgen.metrics.psnr import psnr
from slimgen.recipe import Recipe
from slimgen.report.paired import Difference
from slimgen.report.words import kind_of
from slimgen.run.record import read_record
from slimgen.search import Genotype
from slimgen.stages.generators import built, described
from slimgen.tasks import traits_of
from slimgen.tasks.embedded import drawn

HERE = Path(__file__).parent
ALONE = "each alone"
CALLED = {"found": "co-evolved", "greedy": "greedily (ThiNet)", "magnitude": "by magnitude", "random": "at random"}
RIVALS = "finetune.rivals=[magnitude, greedy, random]"
METRICS = {"psnr": "max", "cycle": "min"}
Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=str(HERE / "townhouses-32-co_evolution.yaml"))
    parser.add_argument("--data", type=Path, help="the images; the townhouses by default")
    parser.add_argument("--out", type=Path, default=Path("runs/coevolved"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--updates", type=int, nargs="+", default=[0, 50, 200, 1000])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--name", help="name of the file of figures; the recipe's by default")
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run other seeds")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(arguments.settings)
    data = arguments.data or drawn(traits_of(base).embedded, base.size.height, arguments.out, print)
    rows, searches = Rows(), []
    for seed in arguments.seeds:
        found, search = of_seed(base.override([f"seed={seed}"]), data, arguments.out, arguments.updates)
        rows += found
        searches.append(search)
        if arguments.only_run:
            continue
        about = {"recipe": base.name, "settings": arguments.settings, "seeds": [one["seed"] for one in searches]}
        figures = {**about, "updates": arguments.updates, "differences": differences(rows), "searches": searches}
        save(f"coevolved-{arguments.name or base.name}", {**figures, "rows": rows})
    if not arguments.only_run:
        print("\n".join(lines(rows, searches)))


def of_seed(base: Recipe, data: Path, out: Path, updates: Sequence[int]) -> tuple[Rows, dict[str, Any]]:
    """Run all ways with one seed; return a row for every way, direction and length, and facts of the searches."""
    rows, searches = Rows(), dict[str, Any]()
    for way, settings in (("", [RIVALS]), (ALONE, ["search.together=false"])):
        chosen = base.override(settings)
        run = out / f"{base.name}-{base.seed}{way and '-alone'}"
        stages.run(chosen, data=data, out=run, until="search")
        inputs = {name: run / name for name in ("prepare", "teach", "supernet", "search")}
        for count in updates:
            folder = run / f"finetune-{count}"
            stages.finetune(chosen.override([f"finetune.updates={count}"]), **inputs, out=folder)
            rows += measured(chosen, run, folder, way, count)
        searches[way or CALLED["found"]] = course(run / "search")
    return rows, {"seed": base.seed, "mean_picture": mean_picture(out / f"{base.name}-{base.seed}"), **searches}


def measured(chosen: Recipe, run: Path, folder: Path, way: str, count: int) -> Rows:
    """Return the quality of each generator of one fine-tuning, against the true partners, and of the cycle."""
    generators = described(chosen, folder, run / "teach")
    sides = whole(Prepared.open(run / "prepare").split("test"))
    found = Rows()
    for name in (name for name in generators if name + REVERSE in generators):
        called = "original" if name == "original" else way or CALLED[kind_of(name)]
        if name == "original" and (way or count):
            continue
        where = run / "teach" if name == "original" else folder
        pair = [built(generators[each], where / generators[each]["file"]) for each in (name, name + REVERSE)]
        for label, first, second, images, partners in (
            ("forward", *pair, sides.input, sides.target),
            ("reverse", *reversed(pair), sides.target, sides.input),
        ):
            about = {"way": called, "name": name, "direction": label, "seed": chosen.seed, "updates": count}
            size = sum(weight.numel() for weight in first.parameters())
            quality = {"psnr": decibels(first, images, partners), "cycle": cycle_error(first, second, images)}
            found.append({**about, **quality, "params": size})
    return found


@torch.inference_mode()
def decibels(net: nn.Module, images: Tensor, partners: Tensor) -> float:
    """Return the mean PSNR of a generator's outputs against the true partners of the images."""
    return float(psnr(net(images), partners).mean())


def course(search: Path) -> dict[str, Any]:
    """Return the best fitness of each generation by direction, and the losses of the found pair as it was judged."""
    trials = [json.loads(line) for line in (search / "trials.jsonl").read_text().splitlines()]
    found: dict[str, Any] = {}
    for turn, label in zip(TURNS, ("forward", "reverse"), strict=True):
        best: dict[int, float] = {}
        mine = [trial for trial in trials if trial["genotype"][TURN] == turn]
        for trial in mine[:-1]:  # the last one is of the found pair
            best[trial["round"]] = max(best.get(trial["round"], 0.0), float(trial["quality"][FITNESS]))
        found[label] = {"best": [best[number] for number in sorted(best)], "pair": mine[-1]["quality"]}
    record = read_record(search)
    return {**found, "sums": sums(trials), "sum": record["metrics"][SUM], "seconds": record["seconds"]}


def sums(trials: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return Eq. 8 for the best pair of each iteration, each generator judged beside the other.

    Fitnesses of different generations have different partners; these sums can be compared. The best of a generation is
    judged again in the next one of its direction, beside the new partner, since it is kept.
    """
    known = {Genotype.from_json(trial["genotype"]): 1 / float(trial["quality"][FITNESS]) for trial in trials}
    champions: dict[str, dict[int, Genotype]] = {turn: {} for turn in TURNS}
    for trial in trials[:-2]:
        pair, turn = Genotype.from_json(trial["genotype"]), str(trial["genotype"][TURN])
        best = champions[turn].get(trial["round"])
        if best is None or known[pair] < known[best]:
            champions[turn][trial["round"]] = pair
    found = []
    for pair in champions[TURNS[1]].values():  # the second direction's best, with the first's beside it
        forth = Genotype({**pair, TURN: TURNS[0]})
        if forth in known:
            found.append(known[forth] + known[pair])
    return found


def mean_picture(run: Path) -> dict[str, float]:
    """Return the mean square error of returning the training set's mean picture, as the fitness measures cycles."""
    data = Prepared.open(run / "prepare")
    train, val = whole(data.split("train")), whole(data.split("val"))
    sides = zip(("forward", "reverse"), train, val, strict=True)
    return {label: float((many.mean(0) - shown).square().mean()) for label, many, shown in sides}


def differences(rows: Rows) -> list[dict[str, Any]]:
    """Return what co-evolution gains over every other way, by length, direction and metric, paired by seed."""
    first, found = CALLED["found"], []
    by: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault((row["updates"], row["direction"], row["way"], row["seed"]), []).append(row)
    seeds = sorted({row["seed"] for row in rows})
    for count, direction, way in dict.fromkeys((row["updates"], row["direction"], row["way"]) for row in rows):
        for metric, goal in METRICS.items() if way not in (first, "original") else ():
            values = [[fmean(one[metric] for one in by[count, direction, w, s]) for s in seeds] for w in (first, way)]
            gains = [one - other if goal == "max" else other - one for one, other in zip(*values, strict=True)]
            about = {"updates": count, "direction": direction}
            found.append({**about, **Difference.of(way, metric, gains).facts})
    return found


def lines(rows: Rows, searches: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the figures as Markdown: a table of all ways and lengths, and what the searches did."""
    gains = {(one["updates"], one["direction"], one["rival"], one["metric"]): one for one in differences(rows)}
    heads = ["updates", "filters chosen", "PSNR →", "PSNR ←", "cycle →", "cycle ←", "k parameters"]
    text = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    ways = dict.fromkeys((row["updates"], row["way"]) for row in rows)
    for count, way in sorted(ways, key=lambda one: one[0]):
        cells = []
        for metric, digits in (("psnr", 2), ("cycle", 4)):
            for direction in ("forward", "reverse"):
                these = [
                    row for row in rows if (row["updates"], row["way"], row["direction"]) == (count, way, direction)
                ]
                by_seed: dict[int, list[float]] = {}
                for row in these:
                    by_seed.setdefault(row["seed"], []).append(row[metric])
                gain = gains.get((count, direction, way, metric))
                against = f" ({gain['mean']:+.{digits}f}, p {gain['p']:.2g})" if gain else ""
                cells.append(spread([fmean(values) for values in by_seed.values()], digits) + against)
        size = fmean(row["params"] for row in rows if (row["updates"], row["way"]) == (count, way)) / 1e3
        text.append(f"| {count} | {way} | {' | '.join(cells)} | {size:.2f} |")
    text.append("\nIn brackets: what co-evolution gains over this way, and the p value of a paired t test.\n")
    for direction in ("forward", "reverse"):
        tuned = [search[CALLED["found"]][direction]["pair"]["cycle"] for search in searches]
        mean = [search["mean_picture"][direction] for search in searches]
        best = [search[CALLED["found"]][direction]["best"] for search in searches]
        text.append(
            f"{direction}: cycle loss of the tuned pair {spread(tuned, 4)}, of the mean picture {spread(mean, 4)}; "
            f"best fitness from {spread([one[0] for one in best], 4)} to {spread([one[-1] for one in best], 4)}"
        )
    course = [search[CALLED["found"]]["sums"] for search in searches]
    text.append(
        f"sum of both directions (Eq. 8, lower is better) from {spread([one[0] for one in course])} in the first "
        f"iteration to {spread([one[-1] for one in course])} in the last"
    )
    return text


if __name__ == "__main__":
    main()
