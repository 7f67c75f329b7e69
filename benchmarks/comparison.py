"""Original, found and uniform generator of a recipe over several seeds: means and spreads.

    python -m benchmarks.comparison townhouses-cf_gan --data data --out runs/comparison
    python -m benchmarks.comparison facades-cf_gan --data PATH/facades --out runs/comparison

Runs resume like any other, so a benchmark that was stopped goes on. The result is written to benchmarks/results/.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.run.record import read_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe).override(arguments.settings)
    tables, seconds, genotypes = [], [], []
    for seed in range(arguments.seeds):
        out = arguments.out / f"{base.name}-{seed}"
        stages.run(base.override([f"seed={seed}"]), data=arguments.data, out=out)
        tables.append(json.loads((out / "evaluate" / "table.json").read_text()))
        seconds.append({stage: read_record(out / stage)["seconds"] for stage in recipe.STAGES})
        genotypes.append(json.loads((out / "search" / "genotype.json").read_text())["key"])
    rows = summary(tables)
    save(
        f"comparison-{base.name}",
        {
            "recipe": base.name,
            "settings": arguments.settings,
            "seeds": arguments.seeds,
            "protocols": [table["protocol"] for table in tables],
            "genotypes": genotypes,
            "seconds": seconds,
            "generators": rows,
        },
    )
    print("\n".join(lines(rows)))
    whole = [sum(run.values()) for run in seconds]
    print(f"\nseconds a run: {mean(whole):.0f} ({min(whole):.0f} to {max(whole):.0f})")


def summary(tables: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each generator: mean and standard deviation of quality, and of its gap to the original of the same seed."""
    found: dict[str, dict[str, Any]] = {}
    for name in (row["name"] for row in tables[0]["rows"]):
        rows = [next(row for row in table["rows"] if row["name"] == name) for table in tables]
        originals = [next(row for row in table["rows"] if row["name"] == "original") for table in tables]
        quality = {}
        for metric in rows[0]["metrics"]:
            values = [row["metrics"][metric] for row in rows]
            gaps = [value - row["metrics"][metric] for value, row in zip(values, originals, strict=True)]
            spread = {"values": values, "mean": mean(values), "gap": mean(gaps), "gaps": gaps}
            quality[metric] = {**spread, "deviation": stdev(values) if len(values) > 1 else 0.0}
        found[name] = {
            "quality": quality,
            "macs": [row["macs"] for row in rows],
            "params": [row["params"] for row in rows],
            "updates": [row["updates"] for row in rows],
            "latency_ms": [row["latency"]["p50_ms"] for row in rows],
        }
    return found


def lines(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The summary as a Markdown table."""
    metrics = list(next(iter(rows.values()))["quality"])
    text = [
        "| generator | " + " | ".join(metrics) + " | MMACs (exact) | k params |",
        "| --- " * (len(metrics) + 3) + "|",
    ]
    for name, row in rows.items():
        cells = [f"{value['mean']:.3f} ± {value['deviation']:.3f}" for value in row["quality"].values()]
        macs = mean(value["exact"] for value in row["macs"]) / 1e6
        text.append(f"| {name} | {' | '.join(cells)} | {macs:.1f} | {mean(row['params']) / 1e3:.0f} |")
    return text


if __name__ == "__main__":
    main()
