"""Text of a report: its sections, as names and values for people."""

from collections.abc import Mapping
from typing import NamedTuple

from slimgen.recipe import Recipe
from slimgen.report.labels import limited, searched
from slimgen.report.table import SLOWER, Table, originals
from slimgen.report.words import against, factor, quality, seconds, title
from slimgen.size import Size

UNKNOWN_TRUTH = "in metrics of single images, the original's outputs; in others, the targets"
BETTER, WORSE = "better", "worse"
TOTAL = "total, before export"
Values = dict[str, object]


class Figure(NamedTuple):
    """A figure of the headline: its value, its label, and whether it is better or worse; empty if neither."""

    value: str
    label: str
    tone: str = ""


def conventions(table: Table) -> list[list[str]]:
    """Return the MACs of every generator under every convention."""
    names = list(table.rows[0].macs)
    return [["convention", *(row.name for row in table.rows)]] + [
        [name, *(f"{row.macs[name]:,}" if name in row.macs else "-" for row in table.rows)] for name in names
    ]


def ratios(table: Table) -> list[list[str]]:
    """Return MACs beside latency, both relative to the original's; none if no latency was measured."""
    if all(row.p50_ms is None for row in table.rows):
        return []
    lines = [["generator", "MACs", "latency", "latency in PyTorch", "p50 ms in PyTorch"]]
    for row, old in zip(table.rows, originals(table.rows), strict=True):
        if row.params is None:
            continue
        plain = "-" if row.torch_p50_ms is None else f"{row.torch_p50_ms:.4g}"
        if old is None:
            lines.append([row.name, "", "", "", plain])
            continue
        macs = against(old.macs.get(table.convention), row.macs.get(table.convention), "fewer", "more")
        lines.append([row.name, macs, row.speed(old), against(old.torch_p50_ms, row.torch_p50_ms), plain])
    return lines


def headline(table: Table) -> list[Figure]:
    """Return the result in a few figures: what the found generator saves, and what it costs in quality."""
    by_name = {row.name: row for row in table.rows}
    before, after = by_name.get("original"), by_name.get("found")
    if before is None or after is None:
        return []
    pairs = (
        (before.macs.get(table.convention), after.macs.get(table.convention), "fewer MACs", "more MACs"),
        (before.params, after.params, "fewer parameters", "more parameters"),
    )
    figures = [
        Figure(factor(max(old, new), min(old, new)), less if new <= old else more, _tone(old, new, "min"))
        for old, new, less, more in pairs
        if old and new
    ]
    if speed := after.speed(before):
        words, _, times = speed.partition(": ")
        tone = WORSE if speed.startswith(SLOWER) else BETTER if times else ""
        figures.append(Figure(times or "as fast", words, tone))
    for metric in list(after.metrics)[:2]:
        old, new = before.metrics.get(metric), after.metrics[metric]
        shown = f"{quality(old)} → {quality(new)}"
        tone = "" if old is None or quality(old) == quality(new) else _tone(old, new, after.goals.get(metric, ""))
        figures.append(Figure(shown, title(metric), tone))
    return figures


def _tone(before: float, after: float, goal: str) -> str:
    """Return whether a change is for the better or the worse; empty if there is none, or the goal is unknown."""
    if before == after or goal not in ("min", "max"):
        return ""
    return BETTER if (after < before) == (goal == "min") else WORSE


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
        "objective": _objective(recipe, splits),
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


def _objective(recipe: Recipe | None, splits: Mapping[str, Values]) -> Values:
    """Return the recipe's objective, and the source of the targets for images without partners."""
    if recipe is None:
        return {}
    objective: Values = recipe.objective.model_dump(exclude_none=True)
    objective["metric"] = title(str(objective["metric"]))
    two_sets = any(split.get("target_names") is not None for split in splits.values())
    return {**objective, "compared with": UNKNOWN_TRUTH} if two_sets else objective


def _data(manifest: Values, splits: Mapping[str, Values]) -> Values:
    made_of_noise = any(split.get("channels") == 0 for split in splits.values())  # a direction would mean nothing
    names = ("layout", "size", "fit") if made_of_noise else ("layout", "direction", "size", "load", "fit")
    data: Values = {name: manifest[name] for name in names if name in manifest}
    data |= {name: str(Size.of(data[name])) for name in ("size", "load") if name in data}
    for which, key in (("input", "channels"), ("target", "target_channels")):
        wide = values_of(splits.get("train")).get(key)
        if wide and which in values_of(manifest.get("mean")):
            data[f"channels of {which}"] = wide
    for name, split in splits.items():
        data[f"{name} images"] = split.get("count")
        if isinstance(targets := split.get("target_names"), list | tuple):
            data[f"{name} targets"] = len(targets)
            if name == "test":
                known = "by name; known to the evaluation alone" if split.get("paired") else "none"
                data["partners in test"] = known
    data |= {
        name: len(value) for name in ("rejected", "unmatched") if isinstance(value := manifest.get(name), dict | list)
    }
    return {**data, "digest": str(manifest["digest"])[:16]} if "digest" in manifest else data
