"""A fair comparison of the found generator with its rivals: several seeds and budgets, effort, paired t tests.

    python -m benchmarks.fair benchmarks/townhouses-32-halving.yaml --budgets 1/8 1/16 1/32 --seeds 0 1 2 3 4
    python -m benchmarks.fair benchmarks/facades-32-halving.yaml --data PATH/facades --budgets 1/8 1/16 1/32
    python -m benchmarks.fair townhouses-cf_gan --budgets 1/8 --seeds 0 1 2 3 4

Rivals are trained from scratch with as many updates as all trainings that led to the found generator, with the same
losses and the same kind of discriminator; `halving` may use as many MACs as the found one. A difference counts only at
p < 0.05 in a paired t test over the seeds. Runs can be resumed; several processes may divide the seeds (`--only-run`),
and the last one collects the figures, which go to benchmarks/results/.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.report.paired import differences
from slimgen.report.table import ORIGINAL, Table, read_table
from slimgen.report.words import against, kind_of
from slimgen.run.record import read_record
from slimgen.stages.table import STAGES

RIVALS = "finetune.rivals=[random, random_path, halving, narrowed]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/fair"))
    parser.add_argument("--budgets", nargs="+", default=["1/8"], help="fractions of the original's MACs, or numbers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--name", help="name of the file of figures; the recipe's by default")
    parser.add_argument("--only-run", action="store_true", help="collect no figures: other processes run other seeds")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override([RIVALS, *arguments.settings])
    found: dict[str, Any] = {}
    for budget in arguments.budgets:
        outs = [run(base, budget, seed, arguments) for seed in arguments.seeds]
        if not arguments.only_run:
            found[budget] = collected(outs)
            title = f"{base.name}, {limit(budget)}, {len(outs)} seeds"
            print("\n".join(lines(title, found[budget])), flush=True)
    if not arguments.only_run:
        about = {"recipe": base.name, "settings": arguments.settings, "seeds": arguments.seeds}
        save(f"fair-{arguments.name or base.name}", {**about, "budgets": found})


def run(base: recipe.Recipe, budget: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Run one seed up to its evaluation; runs in one folder share equal stages, such as the original's training."""
    name = f"{base.name}-{budget.replace('/', 'of')}-{seed}"
    chosen = base.override([f"budget.macs={budget}", f"seed={seed}"])
    stages.run(chosen, data=arguments.data, out=arguments.out / name, until="evaluate")
    return arguments.out / name


def collected(outs: Sequence[Path]) -> dict[str, Any]:
    """Return the rows of every run, a summary of each kind of generator, and the paired differences."""
    tables = [read_table(out / "evaluate" / "table.json") for out in outs]
    keep = [stage for stage in STAGES if (outs[0] / stage / "stage.json").is_file()]
    return {
        "rows": [[asdict(row) for row in table.rows] for table in tables],
        "genotypes": [json.loads((out / "search" / "genotype.json").read_text())["genotype"] for out in outs],
        "search": [dict(read_record(out / "search")["metrics"]) for out in outs],
        "seconds": [{stage: read_record(out / stage)["seconds"] for stage in keep} for out in outs],
        "kinds": kinds(tables),
        "differences": [one.facts for one in differences(tables)],
    }


def kinds(tables: Sequence[Table]) -> dict[str, dict[str, Any]]:
    """Return for each kind of generator: quality in every run (the mean of several rivals), cost and effort."""
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(kind_of(row.name) for table in tables for row in table.rows):
        rows = [[row for row in table.rows if kind_of(row.name) == kind] for table in tables]
        every = [row for run in rows for row in run]
        quality = {m: [mean(row.metrics[m] for row in run) for run in rows] for m in every[0].metrics}
        latency, torch = (mean(getattr(row, name) or 0.0 for row in every) for name in ("p50_ms", "torch_p50_ms"))
        effort = {name: mean(getattr(row, name) or 0 for row in every) for name in ("updates", "training_macs")}
        # An interpolation, which is shown beside upscalers, costs nothing that is counted.
        macs = mean(row.macs.get("exact", 0) for row in every)
        times = {"latency_ms": latency, "torch_latency_ms": torch}
        found[kind] = {"quality": quality, "macs": macs, **times, **effort}
    return found


def limit(budget: str) -> str:
    """Return a budget in words: a share of the original's MACs, or a number of them."""
    return f"{int(budget) / 1e6:.0f} MMACs" if budget.isdigit() else f"{budget} of the MACs"


def lines(title: str, found: Mapping[str, Any]) -> list[str]:
    """Return a Markdown table of one budget's results."""
    first = next(iter(found["kinds"].values()))["quality"]
    # In figures from before onnxruntime's latency came first, the milliseconds are PyTorch's.
    runtimes = {row["runtime"].partition(" ")[0] for rows in found["rows"] for row in rows if row["runtime"]}
    time = f"ms in {' or '.join(sorted(runtimes))}"
    heads = ["generator", *first, "found is better by (p)", "MMACs", time, "speed", "updates", "training TMACs"]
    text = [f"\n**{title}**\n", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    metric = next(iter(first))
    gains = {one["rival"]: one for one in found["differences"] if one["metric"] == metric}
    for kind, row in found["kinds"].items():
        quality = [f"{mean(v):.3f} ± {stdev(v) if len(v) > 1 else 0.0:.3f}" for v in row["quality"].values()]
        gain = gains.get(kind)
        shown = f"{gain['mean']:+.3f} ± {gain['deviation']:.3f} (p {gain['p']:.3g})" if gain else ""
        before = found["kinds"].get(ORIGINAL, row)["latency_ms"]
        speed = against(before, row["latency_ms"]) if kind != ORIGINAL and len(runtimes) == 1 and row["macs"] else ""
        figures = [f"{row['macs'] / 1e6:.2f}", f"{row['latency_ms']:.2f}", speed, f"{row['updates']:.0f}"]
        figures.append(f"{row['training_macs'] / 1e12:.2f}")
        figures = figures if row["macs"] else [""] * len(figures)
        text.append(f"| {' | '.join([kind, *quality, shown, *figures])} |")
    return text


if __name__ == "__main__":
    main()
