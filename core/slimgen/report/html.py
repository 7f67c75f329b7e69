"""The report of a run: one HTML file that stands alone, with its pictures inside."""

import base64
import io
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from slimgen.errors import RunError, SlimgenError
from slimgen.files import write_text
from slimgen.recipe import Recipe
from slimgen.report.charts import training_chart
from slimgen.report.table import SLOWER, Table, cells, headings, legend, originals, parse_table
from slimgen.report.words import against, factor, generator, number, quality, seconds, title
from slimgen.size import Size

TEMPLATE = Path(__file__).with_name("report.html")
PLACES = ("grid", "pareto", "architecture")
UNKNOWN_TRUTH = "by metrics of single images, what the original makes of them; by others, the targets"
Values = dict[str, object]


class Picture(NamedTuple):
    """A picture inside the report: its name, and its content as a data URI."""

    name: str
    source: str


def write_report(path: Path, facts: Mapping[str, object], pictures: Mapping[str, Path]) -> None:
    """Writes the report.

    Args:
        path: the HTML file.
        facts: any of `label` (name and licence of the run), `recipe` (a Recipe), `stages` (stage to what its stage.json
            holds), `logs` (training to the lines of its log), `table`, `genotype` and `manifest` (what their JSON files
            hold), `compute` (device and number type, as text); what is missing is left out of the report.
        pictures: `grid`, `pareto`, `architecture`, and any others, which come last. Losses are drawn from the logs.

    Raises:
        RunError: a picture that is not there, a damaged table, or the report cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, seconds=seconds)
    table = parse_table(facts["table"]) if facts.get("table") else None
    story = _gather(facts, table)
    logs = story["logs"]
    assert isinstance(logs, dict)
    inline = {name: Picture(name, _inline(file)) for name, file in pictures.items()}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        story=story,
        table=table,
        headings=headings(table.rows, table.convention) if table else [],
        cells=cells(table.rows, table.convention) if table else [],
        legend=legend(table.rows) if table else [],
        ratios=_ratios(table) if table else [],
        conventions=_conventions(table) if table else [],
        generators={row.name: words for row in table.rows if (words := generator(row.name))} if table else {},
        headline=_headline(table) if table else [],
        pictures={place: inline.get(place) for place in PLACES},
        trainings=[picture for name, lines in logs.items() for picture in _losses(name, lines)],
        others=[picture for name, picture in inline.items() if name not in PLACES],
    )
    write_text(path, text)


def _inline(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"the report shows {file}", error.strerror or error) from error
    return _uri(content, mimetypes.guess_type(file.name)[0] or "image/png")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _losses(name: str, lines: list[Mapping[str, object]]) -> list[Picture]:
    """The chart of one training; none where it logged no losses."""
    drawn = io.BytesIO()
    try:
        training_chart(lines, drawn)
    except SlimgenError:
        return []
    return [Picture(name, _uri(drawn.getvalue(), "image/png"))]


def _conventions(table: Table) -> list[list[str]]:
    """MACs of every generator under every convention."""
    names = list(table.rows[0].macs)
    return [["convention", *(row.name for row in table.rows)]] + [
        [name, *(f"{row.macs[name]:,}" if name in row.macs else "-" for row in table.rows)] for name in names
    ]


def _ratios(table: Table) -> list[list[str]]:
    """Operations beside latency, both against the original's; none where no latency was measured."""
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


def _headline(table: Table) -> list[tuple[str, str, bool]]:
    """The result in a few figures: what the found generator saves, and what it costs in quality; and what is worse."""
    by_name = {row.name: row for row in table.rows}
    before, after = by_name.get("original"), by_name.get("found")
    if before is None or after is None:
        return []
    pairs = (
        (before.macs.get(table.convention), after.macs.get(table.convention), "fewer MACs", "more MACs"),
        (before.params, after.params, "fewer parameters", "more parameters"),
    )
    figures = [
        (factor(max(old, new), min(old, new)), less if new <= old else more, new > old)
        for old, new, less, more in pairs
        if old and new
    ]
    if speed := after.speed(before):
        words, _, times = speed.partition(": ")
        figures.append((times or "as fast", words, speed.startswith(SLOWER)))
    for metric in list(after.metrics)[:2]:
        change = f"{quality(before.metrics.get(metric))} → {quality(after.metrics[metric])}"
        figures.append((change, title(metric), False))
    return figures


def _gather(facts: Mapping[str, object], table: Table | None) -> Values:
    """The sections of a report, as names and values in the order in which they are shown. An empty one is left out."""
    recipe = facts.get("recipe")
    recipe = recipe if isinstance(recipe, Recipe) else None
    records = {name: _values(record) for name, record in _values(facts.get("stages")).items()}
    last: Values = next((record for record in reversed(records.values()) if record), {})
    chosen, manifest = _values(facts.get("genotype")), _values(facts.get("manifest"))
    splits = {name: _values(split) for name, split in _values(manifest.get("splits")).items()}
    rows = table.rows if table else ()
    timed = {f"{row.name} latency": row.runtime for row in rows if row.runtime}
    if torch := ", or ".join(dict.fromkeys(row.torch_runtime for row in rows if row.torch_runtime)):
        timed["latency in PyTorch"] = torch
    words = {name: getattr(recipe, name) if recipe else "" for name in ("name", "about", "task", "method")}
    label = _values(facts.get("label"))
    licence = {"licence": label["licence"]} if label.get("licence") else {}
    return {
        **words,
        "name": label.get("name") or words["name"],
        "made_by": words["name"],
        "recipe": recipe.to_yaml() if recipe else "",
        "protocol": {**table.protocol, **timed, "MAC convention": table.convention} if table else {},
        "budget": _budget(recipe, _values(chosen.get("limits"))),
        "objective": _objective(recipe, splits),
        "search": _values(records.get("search", {}).get("metrics")),
        "genotype": _values(chosen.get("genotype")),
        "stages": {name: record["seconds"] for name, record in records.items() if "seconds" in record},
        "data": {**_data(manifest, splits), **licence},
        "versions": _values(last.get("versions")),
        "machine": ({"computed on": facts["compute"]} if facts.get("compute") else {}) | _values(last.get("machine")),
        "logs": {name: lines for name, lines in _values(facts.get("logs")).items() if isinstance(lines, list)},
    }


def _values(value: object) -> Values:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _budget(recipe: Recipe | None, limits: Values) -> Values:
    """Each limit as a number, and as the recipe puts it where that is a share."""
    if recipe is None:
        return limits
    asked = recipe.budget.model_dump(exclude_none=True)
    shared = {name: value for name, value in asked.items() if "/" in str(value) or "%" in str(value)}
    shares = {f"{name}, of the original's": value for name, value in shared.items()}
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
    names = ("layout", "size", "fit") if made_of_noise else ("layout", "direction", "size", "load", "fit")
    data: Values = {name: manifest[name] for name in names if name in manifest}
    data |= {name: str(Size.of(data[name])) for name in ("size", "load") if name in data}
    for which, key in (("input", "channels"), ("target", "target_channels")):
        wide = _values(splits.get("train")).get(key)
        if wide and which in _values(manifest.get("mean")):
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
