"""Lines on the plan of a run and the result of its search."""

import json
from collections.abc import Mapping
from pathlib import Path

from slimgen.device import Compute
from slimgen.files import GENOTYPE
from slimgen.methods import open_method
from slimgen.methods.checks import HALVING, budget_of
from slimgen.recipe import Recipe
from slimgen.report.budget import limits_words, spent
from slimgen.report.words import number, title
from slimgen.run.record import read_record


def heading(recipe: Recipe, compute: Compute, out: Path, prepare: Path) -> str:
    """Return two lines: recipe, method and budget; device, number of images if they are prepared, and the folder."""
    limited = any(getattr(recipe.budget, kind) is not None for kind in ("macs", "params", "bytes", "latency_ms"))
    budget = limits_words(budget_of(recipe).limits) if limited else "none"
    counted = f" ({recipe.budget.convention})" if recipe.budget.macs is not None else ""
    metrics = read_record(prepare).get("metrics", {})
    counts = [str(number(metrics[key])) for split in ("train", "val", "test") if (key := f"{split}_images") in metrics]
    images = f"{' / '.join(counts)} images to train / validate / test on; " if counts else ""
    halving = recipe.search.get("kind") == HALVING
    how = f"successive halving in the space of {recipe.method}" if halving else recipe.method
    run = f"{recipe.name}: {how}, {recipe.task}, {recipe.size} px, seed {recipe.seed}"
    return f"{run}; budget {budget}{counted}\n{_device(compute)}; {images}folder {out}"


def _device(compute: Compute) -> str:
    kind, precision, _, where = str(compute).split(maxsplit=3)
    return f"{kind} {precision}, {'1 thread' if where == '1 threads' else where}"


def found(recipe: Recipe, search: Path) -> str:
    """Return one line about the result of a search: architecture in short, costs and score; empty without one."""
    winner = json.loads((search / GENOTYPE).read_bytes())
    if not winner["genotype"]:  # nothing was searched
        return ""
    name = getattr(open_method(recipe.method), "name_genotype", lambda genotype: "")(winner["genotype"])
    costs: Mapping[str, float] = winner["costs"]
    value = winner["quality"].get(recipe.objective.metric)
    scores = "" if value is None else f"; {title(recipe.objective.metric)} {value:.4g} without fine-tuning"
    return f"found {name + ': ' if name else ''}{spent(costs, winner.get('limits') or {})}{scores}"
