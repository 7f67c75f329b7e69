"""Text of a report: its sections, as names and values for people."""

from collections.abc import Mapping

from slimgen.recipe import Recipe
from slimgen.report.labels import limited, searched
from slimgen.report.table import Table
from slimgen.report.words import arrow, seconds, title
from slimgen.size import Size

UNKNOWN_TRUTH = "in metrics of single images, the original's outputs; in others, the targets"
TOTAL = "total, before export"
DATA = {
    **{"load": "size before cropping", "fit": "images of another aspect"},
    **{"train": "training", "val": "validation"},
}
"""Printed names of facts on the data, where their own would not do."""
Values = dict[str, object]


def gather(facts: Mapping[str, object], table: Table | None) -> Values:
    """Return the sections of a report as names and values, in display order; leave empty ones out."""
    recipe = facts.get("recipe")
    recipe = recipe if isinstance(recipe, Recipe) else None
    records = {name: values_of(record) for name, record in values_of(facts.get("stages")).items()}
    last: Values = next((record for record in reversed(records.values()) if "versions" in record), {})
    chosen, manifest = values_of(facts.get("genotype")), values_of(facts.get("manifest"))
    splits = {name: values_of(split) for name, split in values_of(manifest.get("splits")).items()}
    rows = table.rows if table else ()
    timed = {f"{row.name} latency": row.runtime for row in rows if row.runtime}
    if torch := ", or ".join(dict.fromkeys(row.torch_runtime for row in rows if row.torch_runtime)):
        timed["latency in PyTorch"] = torch
    words = {name: getattr(recipe, name) if recipe else "" for name in ("name", "about", "task", "method")}
    label = values_of(facts.get("label"))
    licence = {"licence": label["licence"]} if label.get("licence") else {}
    return {
        **words,
        "name": label.get("name") or words["name"],
        "made_by": words["name"],
        "recipe": recipe.to_yaml() if recipe else "",
        "protocol": {**table.protocol, **timed, "MAC convention": table.convention} if table else {},
        "budget": _budget(recipe, values_of(chosen.get("limits"))),
        "objective": _objective(recipe, splits, values_of(chosen.get("objective"))),
        "search": searched(values_of(records.get("search", {}).get("metrics"))),
        "genotype": values_of(chosen.get("genotype")),
        "stages": _times(records),
        "data": {**_data(manifest, splits), **licence},
        "versions": values_of(last.get("versions")),
        "machine": ({"computed on": facts["compute"]} if facts.get("compute") else {}) | values_of(last.get("machine")),
        "logs": {name: lines for name, lines in values_of(facts.get("logs")).items() if isinstance(lines, list)},
    }


def values_of(value: object) -> Values:
    """Return a mapping with its names as text; an empty one for any other value."""
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _times(records: Mapping[str, Values]) -> dict[str, str]:
    """Return the time of each stage, and the total of the known ones."""
    times = {name: record["seconds"] for name, record in records.items() if "seconds" in record}
    whole = sum(value for value in times.values() if isinstance(value, int | float))
    return {name: seconds(value) for name, value in {**times, TOTAL: whole}.items()} if times else {}


def _budget(recipe: Recipe | None, limits: Values) -> Values:
    """Return each limit as a number, with the recipe's share of the original if it named one."""
    if recipe is None:
        return dict(limited(limits, {}))
    asked = recipe.budget.model_dump(exclude_none=True)
    shares = {name: value for name, value in asked.items() if "/" in str(value) or "%" in str(value)}
    shown = limited({**{name: asked[name] for name in shares}, **limits}, shares)
    return {**shown, "MAC convention": recipe.budget.convention} if shown else {}


def _objective(recipe: Recipe | None, splits: Mapping[str, Values], searched_by: Values) -> Values:
    """Return the objective of the search, or else the recipe's, and the source of targets for images without partners.

    A method that measures no candidates is led by an objective of its own.
    """
    if recipe is None:
        return {}
    objective: Values = recipe.objective.model_dump(exclude_none=True)
    metric = str(searched_by.get("metric", objective["metric"]))
    objective["metric"] = f"{title(metric)} {arrow(searched_by.get('goal'))}".rstrip()
    two_sets = any(split.get("target_names") is not None for split in splits.values())
    return {**objective, "compared with": UNKNOWN_TRUTH} if two_sets else objective


def _data(manifest: Values, splits: Mapping[str, Values]) -> Values:
    made_of_noise = any(split.get("channels") == 0 for split in splits.values())  # a direction would mean nothing
    names = ("layout", "size", "fit") if made_of_noise else ("layout", "direction", "size", "load", "fit")
    known = {name: manifest[name] for name in names if name in manifest}
    known |= {name: str(Size.of(known[name])) for name in ("size", "load") if name in known}
    data: Values = {DATA.get(name, name): value for name, value in known.items()}
    for which, key in (("input", "channels"), ("target", "target_channels")):
        wide = values_of(splits.get("train")).get(key)
        if wide and which in values_of(manifest.get("mean")):
            data[f"channels of {which}"] = wide
    for name, split in splits.items():
        data[f"{DATA.get(name, name)} images"] = split.get("count")
        if isinstance(targets := split.get("target_names"), list | tuple):
            data[f"{DATA.get(name, name)} targets"] = len(targets)
            if name == "test":
                pairs = "by name; known to the evaluation alone" if split.get("paired") else "none"
                data["partners in test"] = pairs
    data |= {
        f"{name} images": len(value)
        for name in ("rejected", "unmatched")
        if isinstance(value := manifest.get(name), dict | list)
    }
    return {**data, "digest": str(manifest["digest"])[:16]} if "digest" in manifest else data
