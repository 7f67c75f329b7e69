"""Original, found generator and rivals of one or several recipes over several seeds: means and standard deviations.

    python -m benchmarks.comparison townhouses-cf_gan townhouses-gan_compression
    python -m benchmarks.comparison facades-cf_gan facades-gan_compression --data PATH/facades

Runs can be resumed, so a stopped benchmark continues. The results are written to benchmarks/results/, a file for each
recipe.
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
from slimgen.stages.table import STAGES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    found = {}
    for name in arguments.recipes:
        base = recipe.load(name).override(arguments.settings)
        found[base.name] = measured(base, arguments)
        save(f"comparison-{base.name}", found[base.name])
    print("\n".join(lines(found)))
    for name, values in found.items():
        whole = [sum(run.values()) for run in values["seconds"]]
        print(f"\n{name}, seconds per run: {mean(whole):.0f} ({min(whole):.0f} to {max(whole):.0f})")


def measured(base: recipe.Recipe, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one recipe with all seeds; runs in one folder share equal stages, such as the original's training."""
    tables, seconds, searches = [], [], []
    for seed in range(arguments.seeds):
        out = arguments.out / f"{base.name}-{seed}"
        stages.run(base.override([f"seed={seed}"]), data=arguments.data, out=out)
        tables.append(json.loads((out / "evaluate" / "table.json").read_text()))
        seconds.append({stage: read_record(out / stage)["seconds"] for stage in STAGES})
        facts = read_record(out / "search")["metrics"]
        key = json.loads((out / "search" / "genotype.json").read_text())["key"]
        searches.append({"genotype": key, "evaluations": facts["evaluations"], "seconds": seconds[-1]["search"]})
    return {
        "recipe": base.name,
        "method": base.method,
        "settings": arguments.settings,
        "seeds": arguments.seeds,
        "protocols": [table["protocol"] for table in tables],
        "searches": searches,
        "seconds": seconds,
        "generators": summary(tables),
    }


def summary(tables: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each generator's mean quality, its standard deviation, and its gap to the original of the same seed."""
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
            "latency_runtimes": [row["latency"]["runtime"] for row in rows],
            "torch_latency_ms": [row["torch_latency"]["p50_ms"] for row in rows],
        }
    return found


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the summaries as one Markdown table, with each search's evaluations and seconds."""
    first = next(iter(found.values()))["generators"]
    metrics = list(next(iter(first.values()))["quality"])
    heads = ["method", "generator", *metrics, "MMACs (exact)", "k params", "updates", "evaluations", "search, s"]
    text = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for values in found.values():
        for name, row in values["generators"].items():
            cells = [values["method"] if name != "original" else "", name]
            cells += [f"{value['mean']:.3f} ± {value['deviation']:.3f}" for value in row["quality"].values()]
            macs = mean(value["exact"] for value in row["macs"]) / 1e6
            cells += [f"{macs:.1f}", f"{mean(row['params']) / 1e3:.0f}", f"{mean(row['updates']):.0f}"]
            took = [mean(search[key] for search in values["searches"]) for key in ("evaluations", "seconds")]
            cells += [f"{number:.0f}" for number in took] if name == "found" else ["", ""]
            line = f"| {' | '.join(cells)} |"
            if line not in text:  # the original is the same in every run of a seed
                text.append(line)
    return text


if __name__ == "__main__":
    main()
