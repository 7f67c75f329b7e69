"""The multiply-accumulates of each preset, as `slimgen run --dry-run` counts them: what `slimgen recipes` shows.

    python -m benchmarks.expenses

Where a recipe counts epochs, 1,000 training images are assumed. Each total is divided by the rate at which a supernet
was trained on two cores in float32, which benchmarks/results/rates-cpu.json holds, and stored as hours beside it.
"""

import json
from pathlib import Path

import slimgen
from slimgen.methods import open_method
from slimgen.recipe import load, presets
from slimgen.stages.outlook import expenses_of

IMAGES = 1000
RATES = Path(__file__).parent / "results" / "rates-cpu.json"
PLACE = Path(slimgen.__file__).parent / "recipes" / "expenses.json"


def macs_of(name: str) -> float:
    """Return the multiply-accumulates of a preset's trainings and search."""
    recipe = load(name)
    method = open_method(recipe.method).preview(recipe)  # type: ignore[attr-defined]
    return sum(one.macs or 0 for one in expenses_of(recipe, method, {"train": IMAGES}).values())


def rate() -> float:
    """Return the measured multiply-accumulates in a second of training on two cores in float32."""
    measured = json.loads(RATES.read_text(encoding="utf-8"))["rates"]["cpu fp32 channels_last 2 threads"]
    return 1e9 * float(measured["supernet training"]["gmacs"])


def main() -> None:
    """Write the file that `slimgen recipes` reads."""
    seconds = {name: round(macs_of(name) / rate()) for name in presets()}
    facts = {"command": "python -m benchmarks.expenses", "images": IMAGES, "macs_per_second": rate()}
    PLACE.write_text(json.dumps({**facts, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
