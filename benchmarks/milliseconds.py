"""Searches with a limit on milliseconds, and whether their exported results keep the limit.

    python -m benchmarks.milliseconds [townhouses-gan_compression] [--out runs/comparison] [--limits 2.5 3.5]

The recipe runs with `budget: {latency_ms: LIMIT}` in place of its own budget, and without fine-tuning. The original and
the supernet are taken from another run in the same folder where there is one.
"""

import argparse
import json
from pathlib import Path

from benchmarks.results import save
from slimgen import recipe, stages
from slimgen.run.record import read_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="townhouses-gan_compression")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"))
    parser.add_argument("--limits", type=float, nargs="+", default=[2.5, 3.5])
    arguments = parser.parse_args()
    base = recipe.load(arguments.recipe)
    rows = []
    for limit in arguments.limits:
        limited = [f"budget={{latency_ms: {limit}}}", "finetune.updates=0", "finetune.rivals=[]"]
        out = arguments.out / f"{base.name}-{limit:g}ms"
        stages.run(base.override(limited), data=arguments.data, out=out)
        search, export = (read_record(out / stage)["metrics"] for stage in ("search", "export"))
        found = json.loads((out / "search" / "genotype.json").read_text())
        rows.append(
            {
                "limit_ms": limit,
                "predicted_ms": found["costs"]["latency_ms"],
                "measured_ms": search["latency_measured_ms"],
                "exported_p50_ms": export["onnxruntime_p50_ms"],
                "table_error": [search["latency_error_median"], search["latency_error_max"]],
                "macs": found["costs"]["macs"],
                "quality": found["quality"],
                "evaluations": search["evaluations"],
            }
        )
        kept = "kept" if rows[-1]["exported_p50_ms"] <= limit else "NOT kept"
        print(f"limit {limit:g} ms: {kept}: {rows[-1]}", flush=True)
    save("milliseconds", {"recipe": base.name, "threads": base.evaluate.threads, "searches": rows})


if __name__ == "__main__":
    main()
