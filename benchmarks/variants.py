r"""Number formats of exported generators, over the seeds of one recipe and data set.

    python -m benchmarks.variants runs/variants/townhouses-? --name variants-townhouses-64px

The runs are finished ones of `slimgen run`. Each measured its variants itself, on its test images in onnxruntime, and
timed them in turns; here these figures are put together. Differences are from float32 in the same run.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.results import save, spread
from slimgen.export.card import Facts, read_facts
from slimgen.files import CARD, TABLE
from slimgen.report.table import TableRow, read_table
from slimgen.report.words import title


def main() -> None:
    """Read the cards of all runs, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--name", required=True, help="name of the file of figures: variants-...")
    given = parser.parse_args()
    cards = [read_facts(run / "export" / CARD) for run in given.runs]
    one = cards[0]
    about = {"recipe": one.recipe["name"], "method": one.recipe["method"], "size": one.data["size"]}
    seeds = [card.recipe["seed"] for card in cards]
    updates = [found(run).updates for run in given.runs]
    values = {**about, "seeds": seeds, "updates": updates, "variants": rows(cards)}
    print(json.dumps(values["variants"], indent=1))
    print(save(given.name, values))


def found(run: Path) -> TableRow:
    """Return the row of the found generator in a run's table."""
    return next(row for row in read_table(run / "evaluate" / TABLE).rows if row.name == "found")


def rows(cards: Sequence[Facts]) -> dict[str, dict[str, list[Any]]]:
    """Return, for each variant, its figures in every run: sizes and times as ratios to float32, changes of quality."""
    all_of: dict[str, dict[str, list[Any]]] = {}
    for card in cards:
        plain = card.variants[0]
        assert plain.p50_ms is not None
        for one in card.variants:
            into = all_of.setdefault(one.name, {})
            assert one.p50_ms is not None
            figures = {"bytes": one.bytes, "smaller": plain.bytes / one.bytes, "ms": one.p50_ms}
            figures |= {"faster": plain.p50_ms / one.p50_ms, "recommended": one.recommended}
            figures |= {f"{metric}": value for metric, value in one.quality.items()}
            figures |= {f"change of {metric}": value for metric, value in one.change.items()}
            for name, value in figures.items():
                into.setdefault(name, []).append(value)
    return all_of


def paragraph(values: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    variants = values["variants"]
    metric = next(name.removeprefix("change of ") for name in variants["fp32"] if name.startswith("change of "))
    lines = [
        f"| | {title(metric)} | change | bytes | smaller by | ms | faster by | recommended |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in variants.items():
        change = spread(one[f"change of {metric}"], 3) if name != "fp32" else ""
        smaller, faster = (f"{spread(one[key])}x" if name != "fp32" else "" for key in ("smaller", "faster"))
        best = f"{sum(one['recommended'])} of {len(one['recommended'])}"
        size = f"{mean(one['bytes']):,.0f}"
        cells = (name, spread(one[metric]), change, size, smaller, spread(one["ms"]), faster, best)
        lines.append(f"| {' | '.join(cells)} |")
    where = f"{values['machine']['cpu']}, one thread"
    return "\n".join(
        [
            f"**Variants of the found generator**, recipe {values['recipe']}, {values['size']} px, mean ± standard "
            f"deviation over {len(values['seeds'])} seeds, each after {values['updates'][0]:,} updates; on test images "
            f"in onnxruntime, timed in turns on {where}. `{values['command']}`",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    main()
