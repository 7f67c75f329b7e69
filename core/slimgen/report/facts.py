"""What a report says of a run, gathered from what its stages left."""

from collections.abc import Mapping

from slimgen.recipe import Recipe
from slimgen.report.table import Table

Values = dict[str, object]
UNKNOWN_TRUTH = "by metrics of single images, what the original makes of them; by others, the targets"


def gather(facts: Mapping[str, object], table: Table | None) -> Values:
    """The sections of a report, as names and values in the order in which they are shown. An empty one is left out.

    Args:
        facts: any of `recipe` (a Recipe), `stages` (stage to what its stage.json holds), `logs` (training to the lines
            of its log), `genotype` (what genotype.json holds), `manifest` (what manifest.json holds), `compute` (device
            and number type, as text).
        table: before and after.

    Returns:
        `name`, `about`, `task`, `method` of the recipe, and `recipe` as YAML text; `protocol`, how each metric was
        measured; `budget`, the limits as the recipe puts them and as numbers; `objective`, what the search improved;
        `search`, sizes of spaces, evaluations, seconds; `genotype`, every choice; `stages`, the seconds of each;
        `data`, images, where they lay, and their licence; `versions` of what a result depends on; `machine`; `logs`.
    """
    recipe = facts.get("recipe")
    recipe = recipe if isinstance(recipe, Recipe) else None
    records = {name: _values(record) for name, record in _values(facts.get("stages")).items()}
    last: Values = next((record for record in reversed(records.values()) if record), {})
    chosen, manifest = _values(facts.get("genotype")), _values(facts.get("manifest"))
    splits = {name: _values(split) for name, split in _values(manifest.get("splits")).items()}
    words = {name: getattr(recipe, name) if recipe else "" for name in ("name", "about", "task", "method")}
    return {
        **words,
        "recipe": recipe.to_yaml() if recipe else "",
        "protocol": _protocol(table),
        "budget": _budget(recipe, _values(chosen.get("limits"))),
        "objective": _objective(recipe, splits),
        "search": _values(records.get("search", {}).get("metrics")),
        "genotype": _values(chosen.get("genotype")),
        "stages": {name: record["seconds"] for name, record in records.items() if "seconds" in record},
        "data": {**_data(manifest, splits), **({"licence": recipe.data.licence} if recipe else {})},
        "versions": _values(last.get("versions")),
        "machine": {
            **({"computed on": facts["compute"]} if facts.get("compute") else {}),
            **_values(last.get("machine")),
        },
        "logs": {name: lines for name, lines in _values(facts.get("logs")).items() if isinstance(lines, list)},
    }


def _values(value: object) -> Values:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _protocol(table: Table | None) -> Values:
    if table is None:
        return {}
    timed = {f"{row.name} latency": row.runtime for row in table.rows if row.runtime}
    return {**table.protocol, **timed, "MAC convention": table.convention}


def _budget(recipe: Recipe | None, limits: Values) -> Values:
    """Each limit as a number, and as the recipe puts it where that is a share."""
    if recipe is None:
        return limits
    asked = recipe.budget.model_dump(exclude_none=True)
    shares = {
        f"{name}, of the original's": value for name, value in asked.items() if "/" in str(value) or "%" in str(value)
    }
    return {**shares, **limits, "convention": recipe.budget.convention} if limits or shares else {}


def _objective(recipe: Recipe | None, splits: Mapping[str, Values]) -> Values:
    """The recipe's, and the truth of images that have no partners."""
    if recipe is None:
        return {}
    objective: Values = recipe.objective.model_dump(exclude_none=True)
    two_sets = any(split.get("target_names") is not None for split in splits.values())
    return {**objective, "compared with": UNKNOWN_TRUTH} if two_sets else objective


def _data(manifest: Values, splits: Mapping[str, Values]) -> Values:
    made_of_noise = any(split.get("channels") == 0 for split in splits.values())  # in no direction
    names = ("layout", "size") if made_of_noise else ("layout", "direction", "size", "load")
    data: Values = {name: manifest[name] for name in names if name in manifest}
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
