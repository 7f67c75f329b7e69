"""What a report says of a run, gathered from what its stages left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slimgen.recipe import Recipe
from slimgen.report.table import Table, parse_table

Facts = dict[str, object]


@dataclass(frozen=True)
class Story:
    """The sections of a report, as names and values in the order of their telling. An empty one is left out.

    Attributes:
        name: of the recipe.
        about: the same, in a sentence.
        task: what the generator is for.
        method: how it was found.
        recipe: as YAML text.
        table: before and after.
        protocol: how each metric was measured.
        budget: the limits, as the recipe puts them and as numbers.
        objective: what the search improved.
        search: sizes of spaces, evaluations, seconds.
        genotype: every choice.
        stages: seconds of each stage.
        data: images, where they lay, and their licence.
        versions: of what a result depends on.
        machine: what it was computed on.
        logs: training to the lines of its log.
    """

    name: str
    about: str
    task: str
    method: str
    recipe: str
    table: Table | None
    protocol: Facts
    budget: Facts
    objective: Facts
    search: Facts
    genotype: Facts
    stages: Facts
    data: Facts
    versions: Facts
    machine: Facts
    logs: Mapping[str, Sequence[Mapping[str, object]]]


def gather(facts: Mapping[str, object]) -> Story:
    """Puts what the stages left in order.

    Args:
        facts: any of `recipe` (a Recipe), `table` (what table.json holds), `stages` (stage to what its stage.json
            holds), `logs` (training to the lines of its log), `genotype` (what genotype.json holds), `manifest` (what
            manifest.json holds), `compute` (device and number type, as text).

    Raises:
        RunError: the table is damaged.
    """
    recipe = facts.get("recipe")
    recipe = recipe if isinstance(recipe, Recipe) else None
    table = parse_table(facts["table"]) if facts.get("table") else None
    records = {name: _facts(record) for name, record in _facts(facts.get("stages")).items()}
    chosen = _facts(facts.get("genotype"))
    last: Facts = next((record for record in reversed(records.values()) if record), {})
    machine = _facts(last.get("machine"))
    if facts.get("compute"):
        machine = {"computed on": facts["compute"], **machine}
    return Story(
        name=recipe.name if recipe else "",
        about=recipe.about if recipe else "",
        task=recipe.task if recipe else "",
        method=recipe.method if recipe else "",
        recipe=recipe.to_yaml() if recipe else "",
        table=table,
        protocol=_protocol(table),
        budget=_budget(recipe, _facts(chosen.get("limits"))),
        objective=_objective(recipe),
        search=_facts(records.get("search", {}).get("metrics")),
        genotype=_facts(chosen.get("genotype")),
        stages={name: record["seconds"] for name, record in records.items() if "seconds" in record},
        data=_data(recipe, _facts(facts.get("manifest"))),
        versions=_facts(last.get("versions")),
        machine=machine,
        logs={name: lines for name, lines in _facts(facts.get("logs")).items() if isinstance(lines, list)},
    )


def _facts(value: object) -> Facts:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _protocol(table: Table | None) -> Facts:
    if table is None:
        return {}
    timed = {f"{row.name} latency": row.runtime for row in table.rows if row.runtime}
    return {**table.protocol, **timed, "MAC convention": table.convention}


def _budget(recipe: Recipe | None, limits: Facts) -> Facts:
    """Each limit as a number, and as the recipe puts it where that is a share."""
    if recipe is None:
        return limits
    asked = recipe.budget.model_dump(exclude_none=True)
    shares = {
        f"{name}, of the original's": value for name, value in asked.items() if "/" in str(value) or "%" in str(value)
    }
    return {**shares, **limits, "convention": recipe.budget.convention} if limits or shares else {}


def _objective(recipe: Recipe | None) -> Facts:
    if recipe is None:
        return {}
    said: Facts = recipe.objective.model_dump(exclude_none=True)
    if recipe.task == "unpaired":
        said["compared with"] = "by metrics of single images, what the original makes of them; by others, the targets"
    return said


def _data(recipe: Recipe | None, manifest: Facts) -> Facts:
    names = ["layout", "direction", "size", "load"]
    if recipe is not None and recipe.task == "unconditional":  # made of noise, in no direction
        names = ["layout", "size"]
    found: Facts = {name: manifest[name] for name in names if name in manifest}
    for name, split in _facts(manifest.get("splits")).items():
        record = _facts(split)
        found[f"{name} images"] = record.get("count")
        if isinstance(targets := record.get("target_names"), list | tuple):
            found[f"{name} targets"] = len(targets)
            if name == "test":
                told = "by name; told to the evaluation alone" if record.get("paired") else "none"
                found["partners in test"] = told
    found |= {
        name: len(value) for name in ("rejected", "lonely") if isinstance(value := manifest.get(name), dict | list)
    }
    if "digest" in manifest:
        found["digest"] = str(manifest["digest"])[:16]
    return {**found, "licence": recipe.data.licence} if recipe else found
